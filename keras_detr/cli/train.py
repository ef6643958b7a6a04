"""Fine-tune a detector on a folder of images.

The folder holds COCO-JSON, YOLO or Pascal VOC annotations, which are recognized; see
`keras_detr.datasets.load_folder`. Without a validation part, a fifth of the training images is held
out. The defaults suit small data sets: published weights, a frozen backbone below 1,000 images,
learning rates that warm up and then fall to 0, and an end after ten epochs without a better AP,
once AP can say something.

--output gets: batch.png, what the model is trained on (look at it while it trains); model.keras,
with the best validation AP, and the folder preset of the same; log.csv, a line an epoch, and
history.png, its curves; predictions.png, beside the truth; test.json, the metrics on the test part,
if there is one; config.json, these arguments, for --config.

The same command with the same --output goes on after an interruption, as does --resume. An output
with another training isn't changed.
"""

import pathlib
import time

import keras

from keras_detr.cli.arguments import (
    FORMAT,
    PLACES,
    add_short_side,
    add_weights,
    read_config,
    settings_of_load,
    sizes_of,
)
from keras_detr.cli.json_files import write_json
from keras_detr.datasets import load_folder
from keras_detr.evaluation import COCOEvaluation, evaluate_detector, summary_table
from keras_detr.models import TrainingRun, load
from keras_detr.ops.printable_text import counted
from keras_detr.optimizers import warmup_cosine
from keras_detr.preprocessing import DETRPreprocessor, evaluation_batches, training_batches
from keras_detr.visualization import plot_batch, plot_history, plot_predictions

FEW_IMAGES = 1000
FEW_BOXES = 10
# Before these many steps AP says nothing, and epochs without a better one aren't counted.
FIRST_STEPS = 500
# What a model that has learned nothing may find by chance.
CHANCE_AP = 0.001
# The rates of `default_optimizer` are multiplied by --learning-rate divided by this one.
PAPER_RATE = 1e-4


def add_arguments(parser):
    """Add the arguments of `keras-detr train`."""
    parser.add_argument("data", nargs="?", help="the folder of images and annotations")
    parser.add_argument("--model", default="detr_r50", help="what to start from (%(default)s)")
    add_weights(parser)
    parser.add_argument("--output", default="finetuned", help="folder (%(default)s)")
    parser.add_argument("--resume", metavar="OUTPUT", help="go on with the training in a folder")
    parser.add_argument("--config", metavar="FILE", help="arguments, as config.json holds them")
    data = parser.add_argument_group("data")
    data.add_argument("--format", choices=("auto", "coco", "yolo", "voc"), default="auto")
    data.add_argument("--classes", nargs="+", metavar="NAME", help="only these; default: all")
    data.add_argument(
        "--masks", action="store_true", help="train masks too, of COCO-JSON with segmentations"
    )
    data.add_argument(
        "--hold-out", type=float, default=0.2, help="share, without validation data (%(default)s)"
    )
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=50, help="at most (%(default)s)")
    training.add_argument("--batch-size", type=int, default=4, help="(%(default)s)")
    add_short_side(training)
    training.add_argument("--num-queries", type=int, help="default: the model's")
    training.add_argument(
        "--learning-rate", type=float, default=1e-4, help="outside of the backbone (%(default)s)"
    )
    training.add_argument(
        "--train-backbone", action="store_true", help=f"even below {FEW_IMAGES} images"
    )
    training.add_argument(
        "--patience",
        type=int,
        default=10,
        help=f"end after so many epochs without a better AP, beyond the first {FIRST_STEPS} steps "
        "(%(default)s)",
    )
    training.add_argument(
        "--ema",
        type=float,
        metavar="MOMENTUM",
        help="evaluate and keep moving averages of the weights, such as 0.999",
    )
    training.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    training.add_argument("--tensorboard", action="store_true", help="write logs for it too")
    training.add_argument("--seed", type=int, default=0, help="(%(default)s)")


def run(arguments):
    """Train, score and draw."""
    arguments = read_config(arguments, add_arguments)
    keras.utils.set_random_seed(arguments.seed)
    if arguments.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    data = load_folder(
        arguments.data,
        arguments.format,
        classes=arguments.classes,
        hold_out=arguments.hold_out,
        seed=arguments.seed,
        broken_images="find",
        masks=arguments.masks,
        **FORMAT,
    )
    print(data)
    _check_trainable(data)
    chosen = {name: value for name, value in vars(arguments).items() if name not in PLACES}
    training_run = TrainingRun(arguments.output, {**chosen, "data": data.fingerprint})
    if training_run.is_finished:
        print(f"the training in {training_run.folder} is finished. {_way_on(arguments)}")
        return
    config = {**chosen, "data": str(pathlib.Path(arguments.data).resolve())}
    write_json(training_run.folder / "config.json", config)
    model = _build_model(arguments, data)
    _train(model, data, training_run, arguments)
    _score_and_draw(data, training_run, arguments)
    training_run.finish()


def _check_trainable(data):
    for name, dataset in (("training", data.train), ("validation", data.valid)):
        if not dataset.report.num_boxes:
            raise ValueError(f"The {name} images have no boxes: correct the annotations.")
    counts = data.train.report.num_boxes_by_class
    few = [name for name, count in counts.items() if count < FEW_BOXES]
    if few:
        print(f"fewer than {FEW_BOXES} boxes of {', '.join(few)}: don't expect them to be found")


def _build_model(arguments, data):
    model = load(
        arguments.model,
        num_classes=len(data.class_names),
        num_queries=arguments.num_queries,
        class_names=data.class_names,
        masks=arguments.masks,
        **FORMAT,
        **settings_of_load(arguments),
    )
    most_boxes = max(part.report.most_boxes for part in (data.train, data.valid))
    if most_boxes > model.num_queries:
        raise ValueError(
            f"An image has {most_boxes} objects, and the model finds at most {model.num_queries}: "
            f"pass --num-queries {most_boxes}."
        )
    short_side, longest_side = sizes_of(model, arguments.short_side)
    # Later predictions resize images in the same way.
    model.preprocessor = DETRPreprocessor(short_side, longest_side=longest_side, **FORMAT)
    if data.train.report.num_images < FEW_IMAGES and not arguments.train_backbone:
        # Few images would spoil the features that it has learned from many.
        model.backbone.trainable = False
        print(f"fewer than {FEW_IMAGES} images: the backbone stays as it is (--train-backbone)")
    return model


def _train(model, data, training_run, arguments):
    sizes, batch_size = model.preprocessor_sizes, arguments.batch_size
    train = training_batches(data.train, sizes, batch_size, seed=arguments.seed, **FORMAT)
    valid = evaluation_batches(data.valid, sizes, batch_size, **FORMAT)
    picture = training_run.folder / "batch.png"
    plot_batch(next(iter(train)), **FORMAT, class_names=data.class_names, path=picture)
    print(f"what it is trained on -> {picture}", flush=True)
    steps = -(-data.train.report.num_images // batch_size)
    num_steps = steps * arguments.epochs
    plan = f"{counted(arguments.epochs, 'epoch')} of {counted(steps, 'step')}"
    print(f"{plan}; AP stays near 0 for some hundred steps")
    scale = arguments.learning_rate / PAPER_RATE
    averages, swaps = {}, []
    if arguments.ema is not None:
        averages = {"use_ema": True, "ema_momentum": arguments.ema}
        # First, so that the others see the averages.
        swaps = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]
    model.compile(
        model.default_optimizer(lambda rate: warmup_cosine(rate * scale, num_steps), **averages)
    )
    history = model.fit(
        train,
        epochs=arguments.epochs,
        steps_per_epoch=steps,
        callbacks=[
            *swaps,
            COCOEvaluation(valid),
            *training_run.callbacks(
                patience=arguments.patience,
                patience_from_epoch=FIRST_STEPS // steps,
                tensorboard=arguments.tensorboard,
            ),
            _told_time(arguments.epochs),
        ],
    )
    plot_history(history, path=training_run.folder / "history.png")
    print(*_ending(history.history["val_AP"], training_run.best_path, arguments), sep="\n")


def _ending(aps, best_path, arguments):
    """Return lines about how a training ended, from the AP of each epoch."""
    best = max(aps)
    lines = [f"best AP {best:.3f}, of epoch {aps.index(best) + 1} -> {best_path}"]
    if len(aps) < arguments.epochs:
        lines.insert(
            0,
            f"ended after epoch {len(aps)} of {arguments.epochs}: {arguments.patience} without a "
            "better AP (--patience)",
        )
    if best < CHANCE_AP:
        lines.append(
            'AP is still about 0, and the model has hardly learned yet: see "My AP is 0" in the '
            f"documentation. {_way_on(arguments)}"
        )
    return lines


def _way_on(arguments):
    return (
        f"To train on from its best model: keras-detr train {arguments.data} --model "
        f"{pathlib.Path(arguments.output) / 'preset'} --output another_folder"
    )


def _told_time(epochs):
    """Return a callback that says how long an epoch took, once the programs are compiled."""
    starts = {}

    def begin(epoch, logs):
        starts[epoch] = time.monotonic()

    def end(epoch, logs):
        # The first epoch compiles, and may be the only one.
        if len(starts) == 2 or epochs == 1:
            minutes = (time.monotonic() - starts[epoch]) / 60
            text = f"an epoch takes {minutes:.1f} minutes"
            left = (epochs - epoch - 1) * minutes
            print(f"{text}; at most {left:.0f} minutes are left" if left else text)

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def _score_and_draw(data, training_run, arguments):
    best = load(training_run.best_path)
    sizes = best.preprocessor_sizes
    valid = evaluation_batches(data.valid, sizes, arguments.batch_size, **FORMAT)
    plot_predictions(best, next(iter(valid)), path=training_run.folder / "predictions.png")
    # With a new optimizer: the state of the old one is twice as large as the weights, and what is
    # shared doesn't need it.
    best.compile()
    best.save_to_preset(training_run.folder / "preset")
    if data.test is not None:
        test = evaluation_batches(data.test, sizes, arguments.batch_size, **FORMAT)
        figures = evaluate_detector(best, test, verbose=1)
        print(f"test images:\n{summary_table(figures)}")
        write_json(training_run.folder / "test.json", figures)
    print(f"Try it: keras-detr predict photo.jpg --model {training_run.best_path}")
