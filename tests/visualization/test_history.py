"""Pictures of training logs: which curves stand where."""

import keras
import pytest
from PIL import Image

from keras_detr.visualization import plot_history

LOGS = {
    "loss": [3.0, 2.0],
    "classification_loss": [1.0, 0.5],
    "class_error": [90.0, 80.0],
    "val_loss": [3.5, 2.5],
    "val_AP": [0.1, 0.2],
    "val_AP50": [0.2, 0.4],
    "val_F1": [0.3, 0.5],
}


def curves(axes):
    return {line.get_label(): line.get_ydata().tolist() for line in axes.lines}


def test_each_kind_of_figure_has_its_panel():
    figure = plot_history(LOGS)
    panels = {axes.get_title(loc="left"): curves(axes) for axes in figure.axes}
    assert panels == {
        "Loss": {"loss": LOGS["loss"], "val_loss": LOGS["val_loss"]},
        "Parts of the loss": {"classification_loss": LOGS["classification_loss"]},
        "COCO AP and AR": {"val_AP": LOGS["val_AP"], "val_AP50": LOGS["val_AP50"]},
        "Best F1": {"val_F1": LOGS["val_F1"]},
        "Other figures": {"class_error": LOGS["class_error"]},
    }


def test_validation_is_dashed_in_the_color_of_training():
    trained, validated = plot_history(LOGS).axes[0].lines
    assert trained.get_color() == validated.get_color()
    assert (trained.get_linestyle(), validated.get_linestyle()) == ("-", "--")
    assert trained.get_xdata().tolist() == [1, 2]


def test_what_fit_returns_is_drawn(tmp_path):
    history = keras.callbacks.History()
    history.history = LOGS
    plot_history(history, path=tmp_path / "history.png")
    with Image.open(tmp_path / "history.png") as picture:
        assert picture.format == "PNG"


def test_no_more_curves_than_can_be_read():
    logs = {f"part{i}_loss": [1.0] for i in range(20)}
    (axes,) = plot_history(logs).axes
    assert len(axes.lines) == 6


def test_no_panel_without_something_to_see():
    nan = float("nan")
    quiet = {"dropped_boxes": [0.0, 0.0], "val_AP_large": [nan, nan]}
    assert len(plot_history({**LOGS, **quiet}).axes) == len(plot_history(LOGS).axes)
    panels = plot_history({**LOGS, **quiet, "clipped_boxes": [0.0, 2.0]}).axes
    (counts,) = [axes for axes in panels if axes.get_title(loc="left").startswith("Dropped")]
    assert curves(counts) == {"clipped_boxes": [0.0, 2.0]}


@pytest.mark.parametrize("logs", [{}, {"loss": []}, {"loss": [float("nan")]}])
def test_no_epochs(logs):
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_history(logs)


def test_the_legend_names_a_color_once():
    figure = plot_history(LOGS)
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert legends[0] == ["loss"]
    assert legends[2] == ["AP", "AP50"]
    assert figure.get_suptitle() == "solid: training, dashed: validation"
    assert plot_history({"loss": [1.0]}).get_suptitle() == ""


def test_an_ap_of_nothing_lies_at_the_bottom():
    (axes,) = plot_history({"val_AP": [0.0, 0.0]}).axes
    assert axes.get_ylim() == (0, 0.1)
