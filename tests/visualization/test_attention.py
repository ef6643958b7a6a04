"""Pictures of attention: where weights and points land, read back from the figure."""

import types

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from keras_detr.visualization import plot_attention

HEIGHT, WIDTH = 60, 80
IMAGE = np.full((HEIGHT, WIDTH, 3), 128, "uint8")
NUM_QUERIES, NUM_LAYERS, NUM_HEADS = 3, 2, 2
# On a canvas of 80 x 120, half the size of the picture in each direction.
SEEN, CANVAS = (30, 40), (40, 60)


def detector(**attention):
    """Return what the plot asks of a model; it sees images on the canvas."""
    mask = np.zeros((1, *CANVAS), "uint8")
    mask[0, : SEEN[0], : SEEN[1]] = 1
    found = {
        "boxes": np.array([[[10, 5, 20, 10], [0, 0, 8, 8], [20, 20, 40, 30]]], "float32"),
        "classes": np.array([[1, 0, 1]]),
        "confidence": np.array([[0.4, 0.9, 0.6]], "float32"),
    }
    return types.SimpleNamespace(
        preprocessor=lambda images: {"images": np.zeros((1, *CANVAS, 3)), "pixel_mask": mask},
        bounding_box_format="xyxy",
        class_names=("cat", "dog"),
        decoder_attention=lambda batch: {**found, **attention},
    )


def of_maps():
    """Return a detector each of whose queries looks at one cell, in the last layer."""
    weights = np.full((1, NUM_LAYERS, NUM_QUERIES, NUM_HEADS, 4, 6), 1e-3, "float32")
    for query in range(NUM_QUERIES):
        weights[0, -1, query, :, 1, query] = 0.9
    return detector(attention_weights=weights)


def of_points():
    shape = (1, NUM_LAYERS, NUM_QUERIES, NUM_HEADS, 1, 2)
    points = np.random.default_rng(0).uniform(-0.2, 1.2, (*shape, 2))
    weights = np.random.default_rng(1).uniform(0, 1, shape)
    return detector(attention_weights=weights, sampling_points=points)


def shown(axes):
    return [text.get_text() for text in axes.texts]


def test_queries_are_the_most_confident_and_named():
    figure = plot_attention(of_maps(), IMAGE)
    assert [shown(axes) for axes in figure.axes] == [
        ["Queries and what they found", "", "dog 0.60", "cat 0.90"],
        ["Query 1", "cat 0.90, at most 90.0% a cell"],
        ["Query 2", "dog 0.60, at most 90.0% a cell"],
    ]
    figure = plot_attention(of_maps(), IMAGE, confidence_threshold=0.95)
    assert [shown(axes)[0] for axes in figure.axes[1:]] == ["Query 1"]
    figure = plot_attention(of_maps(), IMAGE, confidence_threshold=0.0, max_queries=2)
    assert [shown(axes)[0] for axes in figure.axes[1:]] == ["Query 1", "Query 2"]
    figure = plot_attention(of_maps(), IMAGE, [2, 0], class_names=["a", "b"])
    assert [shown(axes)[1].split(",")[0] for axes in figure.axes[1:]] == ["b 0.60", "b 0.40"]


def test_boxes_are_those_of_the_picture():
    figure = plot_attention(of_maps(), IMAGE, [0])
    for axes in figure.axes:
        (box,) = (patch for patch in axes.patches if isinstance(patch, Rectangle))
        # The model saw half of the picture's pixels in each direction.
        np.testing.assert_allclose(box.get_bbox().extents, [20, 10, 40, 20])


def light_of(figure):
    """Return a function of x and y in the picture: how light the second panel is drawn there."""
    figure.canvas.draw()
    light = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int).sum(-1)

    def light_at(x, y):
        column, row_from_below = figure.axes[1].transData.transform((x, y)).astype(int)
        return light[len(light) - 1 - row_from_below, column]

    return light_at


def test_heat_lies_on_its_cell_without_the_padding():
    for query in range(NUM_QUERIES):
        figure = plot_attention(of_maps(), IMAGE, [query])
        assert figure.axes[1].get_xlim() == (0, WIDTH)
        assert figure.axes[1].get_ylim() == (HEIGHT, 0)
        light_at = light_of(figure)
        # A cell has 10 pixels of the canvas, 20 of the picture; 6 x 4 cells, of which 4 x 3 seen.
        # The points lie on no edge of a detected box.
        lights = np.array([[light_at(x, y) for x in (10, 30, 50, 70)] for y in (5, 30, 50)])
        others = np.delete(lights.ravel(), 4 + query)
        assert lights[1, query] > 500
        assert others.max() < 0.5 * lights[1, query]


def test_another_layer():
    light_at = light_of(plot_attention(of_maps(), IMAGE, [1], layer=0))
    # All cells weigh the same there. The detection of the query is a box from 0 to 16.
    lights = [light_at(x, y) for x in range(24, WIDTH, 8) for y in range(24, HEIGHT, 8)]
    assert len(set(lights)) == 1


def test_points_lie_relative_to_the_picture_the_heavy_ones_on_top():
    model = of_points()
    figure = plot_attention(model, IMAGE, [1])
    attention = model.decoder_attention(None)
    points = attention["sampling_points"][0, -1, 1].reshape(-1, 2) * (WIDTH, HEIGHT)
    weights = attention["attention_weights"][0, -1, 1].ravel()
    (drawn,) = figure.axes[1].collections
    order = np.argsort(weights)
    np.testing.assert_allclose(drawn.get_offsets(), points[order])
    assert (np.diff(drawn.get_sizes()) > 0).all()
    assert (np.diff(drawn.get_array()) > 0).all()
    assert figure.axes[1].get_xlim() == (0, WIDTH)
    assert shown(figure.axes[1])[1] == "cat 0.90, 4 points in 2 heads"


def test_a_batch_of_one_is_seen_as_it_is(tmp_path):
    model = of_maps()
    batch = {"images": np.full((1, *CANVAS, 3), 9.0), **model.preprocessor([])}
    del model.preprocessor
    figure = plot_attention(model, batch, [0], path=tmp_path / "attention.png")
    assert figure.axes[0].get_xlim() == (0, SEEN[1])
    with Image.open(tmp_path / "attention.png") as picture:
        assert picture.format == "PNG"


def test_without_a_preprocessor_the_model_sees_the_picture_itself(monkeypatch):
    model = of_maps()
    model.preprocessor = None
    seen = []
    attention = model.decoder_attention
    monkeypatch.setattr(
        model, "decoder_attention", lambda batch: seen.append(batch["images"]) or attention(batch)
    )
    plot_attention(model, IMAGE, [0])
    np.testing.assert_array_equal(seen[0], IMAGE[None])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 2}, "`layer` must be one of 2 decoder layers. Received: 2"),
        ({"queries": [3]}, "`queries` must name at least one of the queries 0 to 2"),
        ({"queries": []}, "`queries` must name at least one"),
        ({"max_queries": 0}, "`max_queries` must be at least 1"),
        ({"image": IMAGE[..., 0]}, "An image must be of shape"),
        ({"image": {"images": np.zeros((2, 4, 4, 3))}}, "a batch of one"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        plot_attention(**{"model": of_maps(), "image": IMAGE, **change})
