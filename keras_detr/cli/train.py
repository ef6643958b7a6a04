"""Fine-tune a detector on a folder of images: `keras-detr train`."""

import pathlib
import time

import keras

from keras_detr.cli.arguments import FEW_IMAGES
from keras_detr.cli.json_files import write_json
from keras_detr.cli.settings import FORMAT, sizes_of
from keras_detr.datasets import load_folder
from keras_detr.evaluation import COCOEvaluation, evaluate_detector, summary_table
from keras_detr.models import TrainingRun, load
from keras_detr.ops.printable_text import counted
from keras_detr.optimizers import warmup_cosine
from keras_detr.preprocessing import DETRPreprocessor, evaluation_batches, training_batches
from keras_detr.visualization import plot_batch, plot_history, plot_predictions

# Arguments that say where things are, not what is computed.
PLACES = ("command", "data", "output", "resume", "config", "debug", "tensorboard")
FEW_BOXES = 10
MIXED_PRECISION = "mixed_bfloat16"
# What a model that has learned nothing may find by chance.
CHANCE_AP = 0.001
# The rates of `default_optimizer` are multiplied by --learning-rate divided by this one.
PAPER_RATE = 1e-4


def run(arguments):
    """Train, score and draw."""
    if arguments.data is None:
        hint = " It comes before --classes, which takes all that follows." * bool(arguments.classes)
        raise ValueError(
            f"Pass the folder of images and annotations, or --config or --resume.{hint}"
        )
    keras.utils.set_random_seed(arguments.seed)
    if arguments.mixed_precision:
        keras.config.set_dtype_policy(MIXED_PRECISION)
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
    try:
        model = _build_model(arguments, data)
    except Exception:
        training_run.withdraw()
        raise
    config = {**chosen, "data": str(pathlib.Path(arguments.data).resolve())}
    write_json(training_run.folder / "config.json", config)
    _write_problems(data, training_run.folder / "problems.txt")
    _train(model, data, training_run, arguments)
    _score_and_draw(data, training_run, arguments)
    training_run.finish()


def _write_problems(data, path):
    """Write a line for each entry of the data that was left out or changed, if there are any."""
    lines = [
        f"{part}: {problem.kind}: {problem}"
        for part in ("train", "valid", "test")
        if getattr(data, part) is not None
        for problem in getattr(data, part).report.problems
    ]
    if lines:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"all that was left out or changed -> {path}")


def _check_trainable(data):
    for name, dataset in (("training", data.train), ("validation", data.valid)):
        if not dataset.report.num_boxes:
            raise ValueError(f"The {name} images have no boxes: correct the annotations.")
    counts = data.train.report.num_boxes_by_class
    few = [name for name, count in counts.items() if count < FEW_BOXES]
    if few:
        print(f"fewer than {FEW_BOXES} boxes of {', '.join(few)}: don't expect them to be found")


def _build_model(arguments, data):
    # What was saved has a policy of its own.
    dtype = {"dtype": MIXED_PRECISION} if arguments.mixed_precision else {}
    model = load(
        arguments.model,
        num_classes=len(data.class_names),
        num_queries=arguments.num_queries,
        class_names=data.class_names,
        masks=arguments.masks,
        weights=arguments.weights,
        **dtype,
        **FORMAT,
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
        # For its loss: AP comes from `COCOEvaluation`.
        validation_data=valid,
        epochs=arguments.epochs,
        steps_per_epoch=steps,
        callbacks=[
            *swaps,
            COCOEvaluation(valid),
            *training_run.callbacks(
                patience=arguments.patience,
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
    lines = [f"best AP {best:.1%}, of epoch {aps.index(best) + 1} -> {best_path}"]
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
