"""The abstract task: a detector that predicts a set of objects and trains through `fit`."""

import contextlib
import copy
from types import SimpleNamespace
from typing import ClassVar

import keras
from keras import ops

from keras_detr.batches.shapes import check_batch_size
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.backbones.feature_pyramid import pyramid_extractor
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.models.backbones.resnet_presets import RESNET_PRESETS
from keras_detr.models.decoder_attention import AttentionModel, attend
from keras_detr.models.detection_data import (
    prediction_batch,
    prediction_inputs,
    split_batch,
    split_inputs,
    split_training_batch,
    training_batch,
    training_data,
    unpadded_size,
)
from keras_detr.models.head_fitting import fit_class_heads, fit_queries
from keras_detr.models.keras_cv_bases import Task
from keras_detr.models.loss_trackers import LossTrackers
from keras_detr.models.preset_loading import find_detector_class, load_detector
from keras_detr.models.random_state import load_random_state, save_random_state
from keras_detr.models.raw_images import (
    PREPROCESSOR_SIZES,
    build_preprocessor,
    check_preprocessor_sizes,
    is_list_of_images,
    predict_raw_images,
)
from keras_detr.models.saved_preset import save_preset
from keras_detr.models.trainable_state import apply_frozen_paths, frozen_paths
from keras_detr.models.training_backup import lasting_callbacks
from keras_detr.ops.backends import (
    compiled_for_shapes,
    compiles_exported_programs,
    strategy_scope,
    variables_kept,
)
from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.optimizers.detr_optimizer import detr_optimizer


class SetPredictionDetector(Task):
    """Predict a set of objects at once, and train it with bipartite matching.

    Abstract: a detector builds its layers, implements `predict_set`, and names its default loss.
    This class does what all of them share: inputs and masks, boxes and their formats, `compile`,
    `fit`, `evaluate`, `predict`, decoding, saving.

    Args:
        backbone: a KerasCV, KerasHub or keras_detr backbone.
        num_classes: int, the real classes; labels run from 0 to `num_classes - 1`.
        bounding_box_format: str, of targets and of detections: KerasCV's eight formats and
            "rel_center_xywh". Relative formats mean fractions of the unpadded image.
        prediction_decoder: `SetPredictionDecoder`.
        class_names: sequence of str, one a class, or `None`.
        preprocessor_sizes: pair of int, pixels: the short side that `preprocessor` resizes raw
            images to, and the long side's limit, or `None` for no limit.
        **kwargs: of `keras.Model`.

    Call arguments:
        inputs: images (batch, height, width, 3), or a dict of "images" and "pixel_mask" (batch,
            height, width): 1 on the image, 0 on padding, which lies at the bottom and on the right.
        return_auxiliary: bool, whether to return the outputs of all decoder layers.
        return_attention: bool, whether to return the last layer's outputs and the attention of all
            layers instead; see `decoder_attention`.

    Returns:
        dict of float32 tensors: "classification" (batch, queries, logits) and "box" (batch,
        queries, 4), rel_center_xywh of the unpadded image; with `return_auxiliary` also
        "aux_classification" and "aux_box" with an axis of earlier layers after the batch axis, and,
        if `use_two_stage`, "encoder_classification" and "encoder_box" with tokens for queries.

    Raises:
        ValueError: `bounding_box_format` is missing or unknown, or an argument is out of range.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        bounding_box_format,
        prediction_decoder,
        class_names=None,
        preprocessor_sizes=PREPROCESSOR_SIZES,
        **kwargs,
    ):
        check_box_format(bounding_box_format)
        check_preprocessor_sizes(preprocessor_sizes)
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(
                "`num_classes` must be an integer of at least 1, the number of real classes "
                f"(no-object isn't one of them). Received: {num_classes!r}."
            )
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"`class_names` must have one name for each of {num_classes} classes. Received: "
                f"{len(class_names)} names."
            )
        # Images stay in float32 until the backbone has normalized them.
        super().__init__(autocast=False, **kwargs)
        self.backbone = backbone
        self.num_classes = num_classes
        self.bounding_box_format = bounding_box_format
        self.prediction_decoder = prediction_decoder
        self.class_names = None if class_names is None else tuple(class_names)
        self.preprocessor_sizes = tuple(preprocessor_sizes)
        self._extract_pyramid, self._pyramid_shapes = pyramid_extractor(backbone)
        self._loss_trackers = None
        # Out of Keras' sight, which would count them among the model's layers.
        self._untracked = SimpleNamespace(
            preprocessor=None, attention_model=None, trained_paths=None
        )

    # What a detector implements.

    # Whether the last class logit stands for no-object.
    has_no_object = True

    # Whether the raw outputs for training have the encoder's, whose losses are logged beside the
    # decoder's; a detector that can have them says so before it is compiled.
    use_two_stage = False

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary):
        """Return the raw outputs for a feature pyramid; see the class for their structure."""
        raise NotImplementedError(f"{type(self).__name__} must implement `predict_set`.")

    def attend_set(self, pyramid, pixel_mask):
        """Return the last layer's raw outputs, and the attention that `decoder_attention` says."""
        raise NotImplementedError(
            f"{type(self).__name__} doesn't show its attention: it has no `attend_set`."
        )

    @classmethod
    def default_loss(cls):
        """Return the loss of the detector's paper."""
        return HungarianLoss.detr()

    def default_optimizer(self, schedule=float):
        """Return the optimizer of the detector's paper.

        Args:
            schedule: callable from the paper's learning rate of a group of variables to the rate,
                or the `keras.optimizers.schedules.LearningRateSchedule`, that it gets.
        """
        return detr_optimizer(self, schedule(1e-4), schedule(1e-5))

    # From images to detections.

    def call(self, inputs, training=None, return_auxiliary=True, return_attention=False):
        """Return raw outputs."""
        images, pixel_mask = split_inputs(inputs)
        images = ops.cast(images, "float32")
        if pixel_mask is not None:
            is_image = ops.expand_dims(ops.cast(pixel_mask, "bool"), -1)
            padding = getattr(self.backbone, "padding_value", (0.0, 0.0, 0.0))
            images = ops.where(is_image, images, ops.convert_to_tensor(padding, "float32"))
        pyramid = self._extract_pyramid(images, training=training)
        if return_attention:
            return self.attend_set(pyramid, pixel_mask)
        return self.predict_set(pyramid, pixel_mask, training, return_auxiliary)

    def decode_predictions(self, predictions, images):
        """Turn raw outputs into detections.

        Args:
            predictions: dict, the raw outputs.
            images: the model's inputs that they belong to: images, or a dict with "pixel_mask".

        Returns:
            dict of "boxes" (batch, detections, 4) in `bounding_box_format`, "classes", "confidence"
            (batch, detections), the most confident first, and "num_detections" (batch,).
        """
        return self.prediction_decoder(predictions, image_size=unpadded_size(images))

    def encode_targets(self, inputs, bounding_boxes):
        """Convert targets to what the loss compares: rel_center_xywh of the unpadded image.

        Args:
            inputs: the model's inputs that they belong to.
            bounding_boxes: dict of "boxes" (batch, objects, 4) in `bounding_box_format`, and
                "classes" (batch, objects).
        """
        height, width = unpadded_size(inputs)
        boxes = convert_box_format(
            ops.cast(bounding_boxes["boxes"], "float32"),
            self.bounding_box_format,
            "rel_center_xywh",
            image_size=(ops.expand_dims(height, -1), ops.expand_dims(width, -1)),
        )
        return {"boxes": boxes, "classes": bounding_boxes["classes"]}

    # Training.

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        metrics=None,
        box_loss=None,
        classification_loss=None,
        **kwargs,
    ):
        """Configure training, by default with the paper's optimizer and loss.

        Args:
            optimizer: "auto" (`default_optimizer`), or any Keras optimizer.
            loss: "auto" (the paper's `HungarianLoss`), or a `HungarianLoss`.
            metrics: list of `keras.metrics.Metric`, updated with targets (rel_center_xywh) and raw
                outputs.
            box_loss: not taken; KerasCV's detectors have it.
            classification_loss: not taken; KerasCV's detectors have it.
            **kwargs: of `keras.Model.compile`: `run_eagerly`, `steps_per_execution`,
                `auto_scale_loss`, and `jit_compile`, which on torch compiles `predict` only.

        Raises:
            ValueError: `box_loss` or `classification_loss` is given, or `loss` is no loss for sets.
        """
        if box_loss is not None or classification_loss is not None:
            raise ValueError(
                f"`{type(self).__name__}.compile` takes no `box_loss` and no "
                "`classification_loss`: one loss matches predictions with objects and then "
                "compares classes and boxes. Leave both out for the paper's loss, or pass "
                "`loss=keras_detr.HungarianLoss(class_weight=..., box_weight=..., "
                "giou_weight=...)`."
            )
        if isinstance(loss, str) and loss == "auto":
            loss = self.default_loss()
        if loss is not None and not isinstance(loss, HungarianLoss):
            raise ValueError(
                f'`loss` must be "auto" or a `keras_detr.HungarianLoss`. Received: {loss!r}.'
            )
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = self.default_optimizer()
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        if self._compile_loss is not None:
            # It is never called, see `compute_loss`. While it isn't built, Keras traces the whole
            # model in each `train_on_batch`, on JAX and torch.
            self._compile_loss.built = True
        self._loss_trackers = LossTrackers(loss, metrics, self.use_two_stage)
        self._untracked.trained_paths = None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the total loss of a batch, and track its parts.

        Args:
            x: the model's inputs.
            y: dict of boxes in `bounding_box_format` and classes.
            y_pred: raw outputs.
            sample_weight: not taken.
            training: unused.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be left out: sample weights aren't supported, because the "
                "objects of a batch share one normalizer."
            )
        targets = self.encode_targets(x, y)
        components = self.loss.components(
            targets, y_pred, is_compiled_by_xla=bool(self.jit_compile)
        )
        self._loss_trackers.update(components, batch_size=ops.shape(y_pred["box"])[0])
        total = self.loss.total(components)
        for penalty in self.losses:
            total = total + ops.sum(ops.cast(penalty, "float32"))
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics given to `compile`, and return all logs."""
        if self._loss_trackers.metrics:
            targets = self.encode_targets(x, y)
            for metric in self._loss_trackers.metrics:
                metric.update_state(targets, y_pred)
        return self.get_metrics_result()

    @property
    def metrics(self):
        """The loss, its parts, and the metrics given to `compile`."""
        if not self.compiled:
            return []
        return [self._loss_tracker, *self._loss_trackers.all]

    def train_step(self, *args):
        """Take one step; batches may be KerasCV's dict as well as a pair."""
        *state, data = args
        return super().train_step(*state, split_training_batch(data))

    def test_step(self, *args):
        """Evaluate one batch; batches may be KerasCV's dict as well as a pair."""
        *state, data = args
        return super().test_step(*state, split_training_batch(data))

    def predict_step(self, *args):
        """Return detections of one batch, without computing what they don't need."""
        *state, data = args
        inputs = split_batch(data)[0]
        kwargs = {"training": False, "return_auxiliary": False}
        if state:
            # The JAX trainer hands the variables over, and takes them back.
            trainable_variables, non_trainable_variables = state[0]
            outputs, non_trainable_variables = self.stateless_call(
                trainable_variables, non_trainable_variables, inputs, **kwargs
            )
            return self.decode_predictions(outputs, inputs), non_trainable_variables
        return self.decode_predictions(self(inputs, **kwargs), inputs)

    def make_train_function(self, force=False):
        """Create the function that `fit` calls with each batch."""
        with _steps_uncompiled_on_torch(self):
            return super().make_train_function(force)

    def make_test_function(self, force=False):
        """Create the function that `evaluate` calls with each batch."""
        with _steps_uncompiled_on_torch(self):
            return super().make_test_function(force)

    def make_predict_function(self, force=False):
        """Create the function that `predict` calls with each batch."""
        if not (self.jit_compile and compiles_exported_programs()):
            return super().make_predict_function(force)
        if self.predict_function is None or force:
            program = compiled_for_shapes(self, lambda inputs: self.predict_step((inputs,)))
            self.predict_function = lambda batches: program(split_batch(batches[0])[0])
        return self.predict_function

    # The door of the data: checked and brought to one structure.

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *args,
        validation_data=None,
        initial_epoch=0,
        **kwargs,
    ):
        """Train on KerasCV's dicts, pairs or arrays; see `keras.Model.fit`.

        With `keras.callbacks.BackupAndRestore` among the callbacks, a training that was killed goes
        on with all that it had: weights, optimizer, `History`, and what `EarlyStopping`,
        `ModelCheckpoint`, `ReduceLROnPlateau` and `COCOEvaluation` remember, in whatever order they
        stand; one that `EarlyStopping` had ended trains no more. A callback of your own is asked
        for `get_training_state()`, a dict of JSON values and arrays, and gets it back in
        `set_training_state(state)`. Each backup is whole or not there; with
        `double_checkpoint=True` the one before is kept, and taken where the newer is damaged.
        Backups are those of each epoch, and with a `save_freq` in batches others between.

        Args:
            x: `tf.data.Dataset`, generator or `keras.utils.PyDataset` of batches; or arrays. A
                batch is a dict of "images", optionally "pixel_mask", and "bounding_boxes" (a dict
                of "boxes" and "classes"), or a pair (inputs, bounding_boxes).
            y: dict of "boxes" and "classes", if `x` holds arrays of inputs.
            batch_size: int or `None`, of arrays.
            epochs: int, the number of the last epoch.
            verbose: as in `keras.Model.fit`.
            callbacks: list of `keras.callbacks.Callback`.
            *args: as in `keras.Model.fit`.
            validation_data: like `x`, or a pair (x, y) of arrays.
            initial_epoch: int, the epoch to begin with where there is no backup.
            **kwargs: as in `keras.Model.fit`.

        Raises:
            ValueError: targets don't fit the model, an image has a NaN, or layers were frozen or
                unfrozen since the first step; the message shows what. Or no backup of those that
                are there can be loaded.
            FloatingPointError: after an epoch the weights hold a NaN. No callback has seen that
                epoch, so `ModelCheckpoint` hasn't saved it.
        """
        check_batch_size(batch_size)
        x, y = training_data(self, x, y)
        if validation_data is not None:
            validation_data, targets = training_data(self, validation_data, None)
            validation_data = validation_data if targets is None else (validation_data, targets)
        if y is None and not isinstance(x, keras.utils.PyDataset):
            # Batches come in their own order; Keras warns where its default asks for another.
            kwargs.setdefault("shuffle", False)
        self._build_optimizer()
        if self.compiled:
            callbacks, initial_epoch = lasting_callbacks(self, callbacks, initial_epoch, epochs)
        with variables_kept(self):
            return super().fit(
                x,
                y,
                batch_size,
                epochs,
                verbose,
                callbacks,
                *args,
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                **kwargs,
            )

    def train_on_batch(self, x, y=None, **kwargs):
        """Take one step on a batch; takes arrays as `fit` does."""
        self._build_optimizer()
        return super().train_on_batch(*training_batch(self, x, y), **kwargs)

    def test_on_batch(self, x, y=None, **kwargs):
        """Return the loss and its parts on a batch; takes arrays as `fit` does."""
        return super().test_on_batch(*training_batch(self, x, y), **kwargs)

    def predict_on_batch(self, x):
        """Return detections for a batch; takes arrays as `predict` does."""
        return super().predict_on_batch(prediction_batch(x))

    def _build_optimizer(self):
        """Create the optimizer's variables now: inside of a traced step it takes far longer."""
        if not self.compiled or self.optimizer is None:
            return
        if not self.optimizer.built:
            with strategy_scope(self):
                self.optimizer.build(self.trainable_variables)
            self._untracked.trained_paths = None
        paths = {variable.path for variable in self.trainable_variables}
        trained_paths = self._untracked.trained_paths or paths
        if paths != trained_paths:
            changed = sorted(paths ^ trained_paths)
            raise ValueError(
                "`trainable` of layers has changed since the optimizer's first step, and it trains "
                f"the variables of then: {len(changed)} others now, such as {changed[0]!r}. Call "
                "`compile()` again after freezing or unfreezing layers."
            )
        self._untracked.trained_paths = paths

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Return the loss and its parts; takes what `fit` takes."""
        check_batch_size(batch_size)
        if not kwargs.get("_use_cached_eval_dataset", False):
            x, y = training_data(self, x, y)
        with variables_kept(self):
            return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x, batch_size=None, *args, **kwargs):
        """Return detections for images; takes what `fit` takes, with or without targets.

        A list of raw images, arrays (height, width, 3) of any sizes, RGB in 0..255, passes
        through `preprocessor` first, and its boxes come back in pixels of each image as it came
        (or relative to it, as `bounding_box_format` says).

        Returns:
            dict of NumPy arrays: see `decode_predictions`.
        """
        if is_list_of_images(x):
            return predict_raw_images(self, x, batch_size, *args, **kwargs)
        check_batch_size(batch_size)
        with variables_kept(self):
            return super().predict(prediction_inputs(x), batch_size, *args, **kwargs)

    def decoder_attention(self, inputs):
        """Return where each query looked in the image, in every decoder layer.

        For looking into a model; `predict` and training compute none of it.

        Args:
            inputs: a batch: images, or a dict of "images" and perhaps "pixel_mask". Of raw images
                `preprocessor` makes one.

        Returns:
            dict of NumPy arrays. What each query found, in the order of the queries: "boxes"
            float32 (batch, queries, 4) in `bounding_box_format`, "classes" int (batch, queries),
            the likeliest, and "confidence" float32 (batch, queries). What it looked at:
            "attention_weights" float32, which sum to 1 for each head: (batch, layers, queries,
            heads, height, width) of the map that DETR's decoder reads, of the padded image, and 0
            on padding; of Deformable DETR (batch, layers, queries, heads, levels, points), of the
            "sampling_points" float32 (batch, layers, queries, heads, levels, points, 2), x and y
            relative to the unpadded image, outside of 0..1 where a point misses it.

        Raises:
            NotImplementedError: the detector doesn't tell.
        """
        if self._untracked.attention_model is None:
            self._untracked.attention_model = AttentionModel(self)
        return attend(self._untracked.attention_model, inputs)

    @property
    def preprocessor(self):
        """`keras_detr.preprocessing.DETRPreprocessor`: what raw images pass through first.

        It needs TensorFlow, whatever the backend is.
        """
        if self._untracked.preprocessor is None:
            self._untracked.preprocessor = build_preprocessor(
                self.preprocessor_sizes, self.bounding_box_format
            )
        return self._untracked.preprocessor

    def set_preprocessor(self, preprocessor):
        """Let raw images pass through another preprocessor; its sizes are saved with the model.

        Args:
            preprocessor: `keras_detr.preprocessing.DETRPreprocessor`.
        """
        self.preprocessor_sizes = (preprocessor.short_side, preprocessor.longest_side)
        self._untracked.preprocessor = preprocessor

    def export(self, filepath, format="tf_saved_model", verbose=None, input_dtype="uint8"):
        """Write the detector as a program for other runtimes: raw images in, detections out.

        Resizing (as `preprocessor` does it) and decoding are inside; the batch and the size of
        images are free at every call, and all images of a call have one size. The file is read
        without keras_detr and without Keras. Its one input is "images", `input_dtype` (batch,
        height, width, 3), RGB in 0..255; its outputs are those of `decode_predictions`, boxes in
        `bounding_box_format` of the images as they came. They are what `predict` returns for a
        list of images with `batch_size=1`, within rounding.

        - "tf_saved_model" is a folder: `tf.saved_model.load(path).serve(images)`. Names of classes
          are in `tf.saved_model.load(path).class_names()["class_names"]`.
        - "onnx" is a file whose name ends in ".onnx", of opset 18:
          `session = onnxruntime.InferenceSession(path)`, `session.run(None, {"images": images})`.
          Names of classes are JSON in `session.get_modelmeta().custom_metadata_map["class_names"]`.
        - "litert" is a file whose name ends in ".tflite", of builtin operations:
          `Interpreter(path)` of ai_edge_litert.interpreter,
          `.get_signature_runner()(images=images)`. Names of classes are JSON in
          `zipfile.ZipFile(path).read("class_names.json")`.

        Every format has "bounding_box_format" in the same place. A model without names has no
        "class_names" there.

        Args:
            filepath: str or path. An earlier export there is replaced once the new one is whole;
                anything else there stays, and is an error.
            format: str, "tf_saved_model", "onnx" or "litert".
            verbose: bool or `None`, whether to print where the file is; `None` does.
            input_dtype: str, "uint8" or "float32".

        Raises:
            ValueError: an argument can't be understood, something else is at `filepath`, or the
                format can't hold the model: ONNX and LiteRT hold float32 only.
            NotImplementedError: the Keras backend isn't TensorFlow.
            ImportError: a package of the extra `export` is missing.
            OSError: it can't be written, for example because the disk is full.
        """
        # It needs TensorFlow, and the models don't.
        from keras_detr.export import export_detector

        export_detector(self, filepath, format, input_dtype)
        if verbose is None or verbose:
            print(f"Exported {self.name} as {format} to {str(filepath)!r}.")

    # Configuration and saving.

    def get_config(self):
        """Return the constructor's arguments, and which layers are frozen."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            # A plain functional model doesn't save what was attached to it.
            "pyramid_level_inputs": getattr(self.backbone, "pyramid_level_inputs", None),
            "num_classes": self.num_classes,
            "bounding_box_format": self.bounding_box_format,
            "neck": keras.saving.serialize_keras_object(self.neck),
            "prediction_decoder": keras.saving.serialize_keras_object(self.prediction_decoder),
            "class_names": self.class_names,
            "preprocessor_sizes": self.preprocessor_sizes,
            "frozen": frozen_paths(self),
        }

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`, with the same layers frozen."""
        config = dict(config)
        frozen = config.pop("frozen", ())
        levels = config.pop("pyramid_level_inputs", None)
        for name in cls._parts:
            if isinstance(config.get(name), dict):
                # Keras takes apart what it is given, that of functional models among them.
                config[name] = keras.saving.deserialize_keras_object(copy.deepcopy(config[name]))
        if levels and not getattr(config["backbone"], "pyramid_level_inputs", None):
            config["backbone"].pyramid_level_inputs = levels
        model = cls(**config)
        apply_frozen_paths(model, frozen)
        return model

    def save_own_variables(self, store):
        """Save the detector's own variables, and the state of its dropout."""
        super().save_own_variables(store)
        save_random_state(self, store)

    def load_own_variables(self, store):
        """Load what `save_own_variables` saved; files without a state of dropout load too."""
        super().load_own_variables(load_random_state(self, store))

    _parts = ("backbone", "dtype", "neck", "prediction_decoder")

    # Presets. What a family must say about its checkpoints:

    presets: ClassVar[dict] = {}
    # `model_type` in the config.json of the family's repositories on the Hub.
    hub_model_type = None
    backbone_presets: ClassVar[dict] = RESNET_PRESETS
    backbone_class = ResNetBackbone

    def checkpoint_variables(self):
        """Return the variables by the names that the family's checkpoints give them."""
        raise NotImplementedError(f"{type(self).__name__} has no table of checkpoint names.")

    def checkpoint_class_heads(self, class_rows):
        """Return the checkpoint's rows of real classes by the canonical name of each class head.

        Args:
            class_rows: sequence of int, the rows that a preset names, or `None`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no table of checkpoint names.")

    def fit_checkpoint(self, tensors, class_rows, may_reset_classes, source):
        """Make a checkpoint's class heads and queries those that the model, just built, has.

        Args:
            tensors: dict of canonical name -> array; not changed.
            class_rows: sequence of int or `None`; see `fit_class_heads`.
            may_reset_classes: bool, whether the user asked for a number of classes.
            source: str, where the tensors came from, for messages.

        Returns:
            dict of canonical name -> array.

        Raises:
            ValueError: the numbers of classes differ and `may_reset_classes` is false.
        """
        own = self.checkpoint_variables()
        tensors = fit_class_heads(
            tensors,
            own,
            self.checkpoint_class_heads(class_rows),
            self.num_classes,
            may_reset_classes,
            source,
            has_no_object=self.has_no_object,
        )
        return fit_queries(tensors, own, self.num_queries, source)

    @classmethod
    def from_preset(
        cls,
        preset,
        weights=None,
        load_weights=True,
        num_classes=None,
        num_queries=None,
        bounding_box_format=None,
        **overrides,
    ):
        """Build the model of a preset, with its weights.

        `SetPredictionDetector.from_preset` finds out which detector a preset is of.

        Args:
            preset: str or path: a registered name (see `presets`; a name of `backbone_presets`
                gives a new detector on a published backbone), a folder from `save_to_preset`, a
                folder in the Hub's layout (config.json and model.safetensors), or "hf://owner/name"
                with any fine-tuned detector of the family.
            weights: str or path of a file with official or Hub names, .safetensors or .pth (which
                needs torch), instead of the preset's own.
            load_weights: bool, whether to fetch and load the preset's weights.
            num_classes: int or `None`. Another number than the preset's starts with a new class
                head, and says so in the log; all else stays as it is.
            num_queries: int or `None`. Fewer queries keep the first ones, more add new ones.
            bounding_box_format: str or `None`, by default that of a saved preset, else "xyxy".
            **overrides: other arguments of the constructor.

        Returns:
            The model, of this class; of the abstract class' method, of the preset's.

        Raises:
            ValueError: the preset is unknown, a checkpoint is damaged or of another architecture.
            FileNotFoundError: a file is missing, and can't be fetched (offline); the message says
                what to fetch and where to put it.
        """
        chosen = {
            "num_classes": num_classes,
            "num_queries": num_queries,
            "bounding_box_format": bounding_box_format,
        }
        arguments = {name: value for name, value in chosen.items() if value is not None}
        if cls is SetPredictionDetector:
            cls = find_detector_class(cls.__subclasses__(), preset)
        return load_detector(cls, preset, weights, load_weights, {**arguments, **overrides})

    def save_to_preset(self, folder):
        """Write configuration and weights to a folder, for `from_preset`.

        Args:
            folder: str or path; created where it doesn't exist.
        """
        save_preset(self, folder)

    @classmethod
    def override_config(cls, config, arguments):
        """Return a saved configuration with other arguments, its decoder kept in step."""
        saved_queries = config.get("num_queries")
        config = {**config, **arguments}
        if "backbone" in arguments:
            config["pyramid_level_inputs"] = None
        decoder = config.get("prediction_decoder")
        if isinstance(decoder, dict):
            settings = {**decoder["config"], "bounding_box_format": config["bounding_box_format"]}
            if "num_queries" in arguments and settings["max_detections"] == saved_queries:
                settings["max_detections"] = arguments["num_queries"]
            config["prediction_decoder"] = {**decoder, "config": settings}
        if "num_classes" in arguments and "class_names" not in arguments:
            names = config.get("class_names")
            if names is not None and len(names) != arguments["num_classes"]:
                config["class_names"] = None
        return config

    # Compiling what was saved.

    def get_compile_config(self):
        """Return the configuration of `compile`, with the defaults resolved."""
        config = super().get_compile_config()
        if config and self._loss_trackers.metrics:
            config["metrics"] = keras.saving.serialize_keras_object(self._loss_trackers.metrics)
        return config

    def compile_from_config(self, config):
        """Compile as the saved model was."""
        config = keras.saving.deserialize_keras_object(copy.deepcopy(config))
        for name in ("loss_weights", "weighted_metrics"):
            config.pop(name, None)
        self.compile(**config)
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)
            self._untracked.trained_paths = {v.path for v in self.trainable_variables}

    @property
    def layers(self):
        """The model's layers, the backbone among them whatever the base class says."""
        return keras.Model.layers.fget(self)

    def __dir__(self):
        # Keras' saving code walks these names, so they are the same on every backend. torch keeps
        # sub-layers where only `keras.Model` finds them. The backbone is saved among `layers`; the
        # preprocessor has no weights, and asking for it imports TensorFlow.
        return sorted({*keras.Model.__dir__(self)} - {"backbone", "preprocessor"})


def raw_outputs(logits, boxes):
    """Return the dict that `SetPredictionDetector.predict_set` promises.

    Args:
        logits: float32 (batch, layers, queries, logits), of all decoder layers or the last one.
        boxes: float32 (batch, layers, queries, 4), of the same layers.
    """
    outputs = {"classification": logits[:, -1], "box": boxes[:, -1]}
    if logits.shape[1] > 1:
        outputs["aux_classification"] = logits[:, :-1]
        outputs["aux_box"] = boxes[:, :-1]
    return outputs


@contextlib.contextmanager
def _steps_uncompiled_on_torch(model):
    """Keep torch from compiling steps created in this context: it fails at Keras' layers."""
    if not compiles_exported_programs():
        yield
        return
    jit_compile, model.jit_compile = model.jit_compile, False
    try:
        yield
    finally:
        model.jit_compile = jit_compile
