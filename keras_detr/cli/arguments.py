"""What can be typed after `keras-detr`: each command's arguments, and the texts of its help.

Nothing here imports Keras, so that help and mistakes are answered at once.
"""

import argparse
import inspect

FEW_IMAGES = 1000
COCO = "coco/2017"
# The formats of exports, and how their files' names end.
EXPORTS = {"tf_saved_model": "_saved_model", "onnx": ".onnx", "litert": ".tflite"}
MODEL = "a .keras file, the folder of a training or of a preset, a preset's name or hf://owner/name"


def train(parser):
    """Fine-tune a detector on a folder of images.

    The folder holds COCO-JSON, YOLO or Pascal VOC annotations; the layout is found out. Without a
    validation part, a fifth of the training images is held out. The defaults suit small data sets:
    published weights, a backbone that isn't trained below 1,000 images, and learning rates that
    warm up and then fall to 0. Training ends early after ten epochs without a better AP, not
    counting those of the first 500 steps, in which AP is nearly 0.

    The output folder gets
      batch.png         what the model is trained on: look at it while it trains
      model.keras       the model of the epoch with the best validation AP
      preset            the same as a folder, for sharing
      log.csv           losses and AP, a line an epoch
      history.png       their curves
      predictions.png   detections beside the true objects
      test.json         metrics of the test part, if there is one
      problems.txt      what of DATA was left out or changed, if anything, entry by entry
      config.json       these arguments, for --config
      run.json          what the training is, so that no other one overwrites it

    After an interruption the same command goes on where it was; so does
    `keras-detr train --resume OUTPUT`. An output folder with another training isn't changed.
    """
    parser.add_argument("data", nargs="?", metavar="DATA", help="folder of images and annotations")
    _add_model(parser, "what to start from: " + MODEL)
    parser.add_argument(
        "--output", metavar="FOLDER", default="finetuned", help="where results go (%(default)s)"
    )
    parser.add_argument(
        "--resume", metavar="OUTPUT", help="go on with the interrupted training of that folder"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a config.json with arguments of an earlier training; typed options replace its own",
    )
    data = parser.add_argument_group("data")
    _add_layout(data)
    data.add_argument(
        "--classes", nargs="+", metavar="NAME", help="train on these only (all classes of DATA)"
    )
    data.add_argument(
        "--masks",
        action="store_true",
        help="train masks too, from COCO-JSON with segmentations; the model must be a DETR",
    )
    data.add_argument(
        "--hold-out",
        type=PART,
        metavar="SHARE",
        default=0.2,
        help="share of the training images for validation, if DATA has none (%(default)s)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs", type=COUNT, metavar="N", default=50, help="at most (%(default)s)"
    )
    _add_batch_size(training)
    _add_short_side(training)
    training.add_argument(
        "--num-queries",
        type=COUNT,
        metavar="N",
        help="the most objects found in an image (the model's)",
    )
    training.add_argument(
        "--learning-rate",
        type=POSITIVE,
        metavar="RATE",
        default=1e-4,
        help="of all but the backbone, which has a tenth (%(default)s)",
    )
    training.add_argument(
        "--train-backbone",
        action="store_true",
        help=f"even with fewer than {FEW_IMAGES:,} images, which may spoil what it has learned",
    )
    training.add_argument(
        "--patience",
        type=COUNT,
        metavar="EPOCHS",
        default=10,
        help="end after so many without a better AP, not counting the first 500 steps "
        "(%(default)s)",
    )
    training.add_argument(
        "--ema",
        type=SHARE,
        metavar="MOMENTUM",
        help="evaluate and keep moving averages of the weights, such as 0.999 (no averages)",
    )
    training.add_argument(
        "--mixed-precision", action="store_true", help="compute in bfloat16: faster on a GPU"
    )
    training.add_argument(
        "--tensorboard", action="store_true", help="write logs for TensorBoard too"
    )
    training.add_argument(
        "--seed", type=int, metavar="N", default=0, help="of all random numbers (%(default)s)"
    )


def predict(parser):
    """Detect objects in image files, and write pictures and a JSON file.

    Takes files and folders. A file that isn't an image is reported, and the others are processed;
    the exit code is then 1. detections.json holds boxes as (left, top, right, bottom) in pixels,
    and the size of each image as (height, width).
    """
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, or folders of them"
    )
    _add_model(parser, MODEL)
    parser.add_argument(
        "--confidence-threshold",
        type=SHARE,
        metavar="CONFIDENCE",
        default=0.5,
        help="from 0 to 1: objects with less aren't shown (%(default)s)",
    )
    _add_short_side(parser)
    parser.add_argument(
        "--output", metavar="FOLDER", default="detections", help="where results go (%(default)s)"
    )
    parser.add_argument("--no-pictures", action="store_true", help="write the JSON file alone")


def evaluate(parser):
    """Score a detector on a folder of images, or on COCO, with COCO's metrics.

    DATA is a folder as for `keras-detr train`; or, with --annotations, a folder of images and their
    COCO-JSON file; or coco/2017, through TFDS. The test part of a folder is scored if there is one,
    otherwise the validation part; --part chooses. With a dilated backbone (DC5) images are
    evaluated one by one, because these models were trained without padding.

    The output folder gets metrics.json; curves.json and precision_recall.png, precision by recall
    and F1 by confidence at IoU 0.50; confusion_matrix.json and confusion_matrix.png, at
    --confidence-threshold; and results.json, all detections in COCO's form, if the data has COCO's
    ids.
    """
    parser.add_argument("data", metavar="DATA", help=f"folder of images and annotations, or {COCO}")
    _add_model(parser, MODEL)
    parser.add_argument(
        "--annotations", metavar="FILE", help="the COCO-JSON file of DATA, a folder of images"
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help=f"where TFDS keeps {COCO} (its own)")
    _add_layout(parser)
    parser.add_argument(
        "--part",
        choices=("train", "valid", "test"),
        help="what to score (test; without one valid, or what the model's training held out)",
    )
    parser.add_argument(
        "--hold-out",
        type=PART,
        metavar="SHARE",
        help="score what a training with this --hold-out and --seed has held out",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", default=0, help="of --hold-out (%(default)s)"
    )
    _add_batch_size(parser)
    _add_short_side(parser)
    parser.add_argument("--per-class", action="store_true", help="show AP and F1 of each class too")
    parser.add_argument(
        "--confidence-threshold",
        type=SHARE,
        metavar="CONFIDENCE",
        help="from 0 to 1: of the confusion matrix (the one with the best F1)",
    )
    parser.add_argument("--output", metavar="FOLDER", help="where results go (not written)")


def export(parser):
    """Write a detector as a file for other runtimes: raw images in, detections out.

    ONNX and LiteRT need `pip install "keras_detr[export]"`. TensorFlow writes every format, from
    models of all backends, whatever KERAS_BACKEND says. --check runs the file in a new process
    without Keras, and compares its detections and times with the model's; the exit code is 1 if
    they differ by more than a thousandth.
    """
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    _add_weights(parser)
    parser.add_argument("--format", choices=EXPORTS, default="tf_saved_model", help="(%(default)s)")
    parser.add_argument(
        "--output",
        metavar="OUTPUT",
        help="the file, or folder of a SavedModel (named after the model, in this folder)",
    )
    parser.add_argument("--check", action="store_true", help="compare the file with the model")
    parser.add_argument(
        "--image", metavar="FILE", help="compare on this image instead of noise; means --check"
    )


def info(parser):
    """Describe a model: its classes, sizes and parameters.

    The weights of a preset aren't downloaded.
    """
    parser.add_argument("model", metavar="MODEL", help=MODEL)


USAGES = {
    "train": "DATA",
    "predict": "IMAGE [IMAGE ...]",
    "evaluate": "DATA",
    "export": "MODEL",
    "info": "MODEL",
}
COMMANDS = {add.__name__: add for add in (train, predict, evaluate, export, info)}


def add_command(commands, name):
    """Add the parser of a command to what `argparse.ArgumentParser.add_subparsers` returned."""
    parser = commands.add_parser(
        name,
        usage=f"%(prog)s {USAGES[name]} [options]",
        description=inspect.getdoc(COMMANDS[name]),
        epilog="Defaults are in parentheses.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    COMMANDS[name](parser)
    parser.add_argument("--debug", action="store_true", help="show where an error came from")


def _number(kind, range_of_it, is_valid):
    """Return a function that reads a number, for `type` of an argument."""

    def read(text):
        value = kind(text)
        if not is_valid(value):
            raise argparse.ArgumentTypeError(f"must be {range_of_it}. Received: {text}.")
        return value

    # argparse names it where `text` is no number at all.
    read.__name__ = kind.__name__
    return read


COUNT = _number(int, "at least 1", lambda value: value >= 1)
POSITIVE = _number(float, "above 0", lambda value: value > 0)
SHARE = _number(float, "from 0 to 1", lambda value: 0 <= value <= 1)
PART = _number(float, "above 0 and below 1", lambda value: 0 < value < 1)


def _add_model(parser, text):
    parser.add_argument("--model", default="detr_r50", help=f"{text} (%(default)s)")
    _add_weights(parser)


def _add_weights(parser):
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="a checkpoint with official or Hub names, read instead of a preset's download",
    )


def _add_layout(parser):
    parser.add_argument(
        "--format",
        choices=("auto", "coco", "yolo", "voc"),
        default="auto",
        help="layout of DATA, if several fit (%(default)s)",
    )


def _add_batch_size(parser):
    parser.add_argument(
        "--batch-size", type=COUNT, metavar="N", default=4, help="images (%(default)s)"
    )


def _add_short_side(parser):
    parser.add_argument(
        "--short-side",
        type=COUNT,
        metavar="PIXELS",
        help="images are resized to; fewer are faster (the model's)",
    )
