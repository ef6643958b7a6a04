from keras_detr.export.comparison import ExportComparison as ExportComparison
from keras_detr.export.comparison import compare_export as compare_export
from keras_detr.export.formats import export_detector as export_detector
from keras_detr.export.raw_image_detector import RawImageDetector as RawImageDetector
