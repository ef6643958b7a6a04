"""Pictures of curves and of confusions: what is drawn, and what is named."""

import numpy as np
import pytest
from PIL import Image

from keras_detr.evaluation import COCOMetrics
from keras_detr.visualization import plot_confusion_matrix, plot_precision_recall


def metrics_of(class_names, objects):
    """Return metrics of images with one object each, which is found with a confidence.

    Args:
        class_names: sequence of str.
        objects: list of (true class, detected class, confidence).
    """
    metrics = COCOMetrics("xyxy", num_classes=len(class_names), class_names=class_names)
    boxes = np.array([[[10.0, 10.0, 50.0, 60.0]]])
    for true, label, confidence in objects:
        found = {"boxes": boxes, "classes": np.array([[label]])}
        found["confidence"] = np.array([[confidence]])
        metrics.update_state({"boxes": boxes, "classes": np.array([[true]])}, found)
    return metrics


OBJECTS = [(0, 0, 0.9), (0, 1, 0.6), (1, 1, 0.8)]


def named(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_curves_of_each_class_and_of_all(tmp_path):
    curves = metrics_of(["cat", "$dog$", "cow"], OBJECTS).curves()
    figure = plot_precision_recall(curves, path=tmp_path / "curves.png")
    by_recall, by_confidence = figure.axes
    # Of a class without objects there is nothing.
    assert named(by_recall) == ["mean of the classes  0.75", "cat  0.50", "$dog$  1.00"]
    assert not by_recall.get_legend().get_texts()[2].get_parse_math()
    assert [line.get_label().split("  ")[0] for line in by_recall.lines] == [
        "cat",
        "$dog$",
        "mean of the classes",
    ]
    np.testing.assert_array_equal(by_recall.lines[0].get_ydata(), curves.precision[0])
    np.testing.assert_array_equal(by_recall.lines[-1].get_ydata(), curves.mean_precision)
    best = curves.best()
    assert named(by_confidence)[0] == (
        f"together  {best['F1']:.2f} at {best['confidence_threshold']:.2f}"
    )
    np.testing.assert_array_equal(by_confidence.lines[2].get_ydata(), curves.overall_f1)
    point = by_confidence.lines[-1]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (
        best["confidence_threshold"],
        best["F1"],
    )
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 1000


def test_of_many_classes_only_all_are_named():
    names = [f"class {label}" for label in range(12)]
    curves = metrics_of(names, [(label, label, 0.9) for label in range(12)]).curves()
    axes = plot_precision_recall(curves).axes[0]
    assert len(axes.lines) == 13
    assert named(axes) == ["mean of the classes  1.00"]


def test_without_objects_there_are_no_curves():
    metrics = COCOMetrics("xyxy", num_classes=1)
    nothing = {"boxes": np.zeros((1, 0, 4)), "classes": np.zeros((1, 0), int)}
    metrics.update_state(nothing, {**nothing, "confidence": np.zeros((1, 0))})
    with pytest.raises(ValueError, match="at least one true object"):
        plot_precision_recall(metrics.curves())


def test_a_confusion_matrix_is_colored_by_row(tmp_path):
    matrix = metrics_of(["cat", "$dog$"], OBJECTS).confusion_matrix()
    figure = plot_confusion_matrix(matrix, path=tmp_path / "matrix.png")
    axes = figure.axes[0]
    share = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(axes.images[0].get_array(), share)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["cat", "$dog$", "background"]
    # A dollar sign isn't the beginning of a formula.
    assert not axes.get_xticklabels()[1].get_parse_math()
    assert {(*text.get_position(), text.get_text()) for text in axes.texts} == {
        (0, 0, "1"),
        (1, 0, "1"),
        (1, 1, "1"),
    }
    assert axes.get_title(loc="left") == "confidence 0.50, IoU 0.50"
    with Image.open(tmp_path / "matrix.png") as picture:
        assert picture.format == "PNG"


def test_a_large_matrix_has_colors_alone():
    names = [f"{label} is a very long name of a class" for label in range(60)]
    axes = plot_confusion_matrix(metrics_of(names, OBJECTS).confusion_matrix()).axes[0]
    assert not axes.texts
    assert axes.get_yticklabels()[59].get_text() == "59 is a very long nam\N{HORIZONTAL ELLIPSIS}"
    assert axes.figure.get_size_inches().max() < 20
