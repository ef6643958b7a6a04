from keras_detr.visualization.attention import plot_attention as plot_attention
from keras_detr.visualization.batch import plot_batch as plot_batch
from keras_detr.visualization.comparison import plot_comparison as plot_comparison
from keras_detr.visualization.confusion import plot_confusion_matrix as plot_confusion_matrix
from keras_detr.visualization.detections import plot_detections as plot_detections
from keras_detr.visualization.history import plot_history as plot_history
from keras_detr.visualization.model_predictions import plot_predictions as plot_predictions
from keras_detr.visualization.precision_recall import (
    plot_precision_recall as plot_precision_recall,
)
from keras_detr.visualization.prediction_pictures import PredictionPictures as PredictionPictures
from keras_detr.visualization.segments import plot_segments as plot_segments
