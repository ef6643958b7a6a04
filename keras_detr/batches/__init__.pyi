from keras_detr.batches.dropped_boxes import DroppedBoxes as DroppedBoxes
from keras_detr.batches.image_range import ImageRange as ImageRange
from keras_detr.batches.structure import BatchParts as BatchParts
from keras_detr.batches.structure import batch_parts as batch_parts
from keras_detr.batches.tf_data import checked_prediction_batches as checked_prediction_batches
from keras_detr.batches.tf_data import checked_training_batches as checked_training_batches
from keras_detr.batches.training_batch import check_inputs as check_inputs
from keras_detr.batches.training_batch import check_training_batch as check_training_batch
