from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer as BoxAwareLayer
from keras_detr.preprocessing.bucketing import CANVASES as CANVASES
from keras_detr.preprocessing.bucketing import bucketed_batches as bucketed_batches
from keras_detr.preprocessing.bucketing import scaled_canvases as scaled_canvases
from keras_detr.preprocessing.detection_batches import evaluation_batches as evaluation_batches
from keras_detr.preprocessing.detection_batches import training_batches as training_batches
from keras_detr.preprocessing.detr_augmentation import DETRAugmentation as DETRAugmentation
from keras_detr.preprocessing.detr_preprocessor import DETRPreprocessor as DETRPreprocessor
from keras_detr.preprocessing.pad_to_canvas import PadToCanvas as PadToCanvas
from keras_detr.preprocessing.pipelines import RandomChoice as RandomChoice
from keras_detr.preprocessing.random_horizontal_flip import (
    RandomHorizontalFlip as RandomHorizontalFlip,
)
from keras_detr.preprocessing.random_resize_shortest_side import (
    RandomResizeShortestSide as RandomResizeShortestSide,
)
from keras_detr.preprocessing.random_size_crop import RandomSizeCrop as RandomSizeCrop
from keras_detr.preprocessing.resize import Resize as Resize
from keras_detr.preprocessing.resize import ResizingLayer as ResizingLayer
from keras_detr.preprocessing.resize_shortest_side import ResizeShortestSide as ResizeShortestSide
from keras_detr.preprocessing.short_side_sizes import resized_size as resized_size
