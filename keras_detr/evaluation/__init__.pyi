from keras_detr.evaluation.coco_evaluation import COCOEvaluation as COCOEvaluation
from keras_detr.evaluation.coco_metrics import COCOMetrics as COCOMetrics
from keras_detr.evaluation.coco_results import COCOResultsWriter as COCOResultsWriter
from keras_detr.evaluation.detector_evaluation import evaluate_detector as evaluate_detector
from keras_detr.evaluation.summary import class_table as class_table
from keras_detr.evaluation.summary import summary_table as summary_table
