"""TensorFlow doesn't take the GPUs' memory where it only reads data."""

import types

import keras
import pytest

from keras_detr.ops.backends import current, reserved_gpus
from keras_detr.ops.backends.interface import Backend

pytestmark = pytest.mark.every_backend

GPUS = ["GPU:0", "GPU:1"]


def config_of(gpus=GPUS, visible=None, growth=None, memory_limit=None, has_started=False):
    """Return a stand-in for `tensorflow.config` on a machine with GPUs."""
    state = {"visible": gpus if visible is None else visible}

    def set_visible_devices(devices, kind):
        assert kind == "GPU"
        if has_started:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        state["visible"] = devices

    return types.SimpleNamespace(
        list_physical_devices=lambda kind: list(gpus),
        get_visible_devices=lambda kind: list(state["visible"]),
        set_visible_devices=set_visible_devices,
        get_logical_device_configuration=lambda gpu: memory_limit,
        experimental=types.SimpleNamespace(get_memory_growth=lambda gpu: growth),
    )


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    reserved_gpus._warn_once.cache_clear()


def visible_after(config, backend=None):
    (backend or Backend()).reserve_gpus(config)
    return config.get_visible_devices("GPU")


def test_gpus_are_hidden():
    assert visible_after(config_of()) == []


def test_a_backend_that_computes_with_tensorflow_keeps_them():
    computes = keras.backend.backend() == "tensorflow"
    assert visible_after(config_of(), current()) == (GPUS if computes else [])


@pytest.mark.parametrize(
    "choice",
    [{"visible": GPUS[:1]}, {"growth": True}, {"growth": False}, {"memory_limit": ["1 GB"]}],
    ids=str,
)
def test_what_the_program_chose_stays(choice):
    expected = choice.get("visible", GPUS)
    assert visible_after(config_of(**choice)) == expected


def test_what_the_environment_chose_stays(monkeypatch):
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    assert visible_after(config_of()) == GPUS


def test_it_is_told_once_that_tensorflow_has_started(caplog):
    config = config_of(has_started=True)
    assert visible_after(config) == GPUS
    assert visible_after(config) == GPUS
    assert len(caplog.records) == 1
    assert "set_visible_devices([], 'GPU')" in caplog.text


def test_without_gpus_nothing_is_told(caplog):
    assert visible_after(config_of(gpus=[], has_started=True)) == []
    assert not caplog.records
