"""Files that an earlier version wrote load, compute what they did, and train on."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

import keras_detr
from tests.models.earlier_files import BATCH, FOLDER, INPUTS, MODELS, raw_outputs, variable_paths

pytestmark = pytest.mark.every_backend


def check_outputs(model, name):
    expected = np.load(FOLDER / name / "outputs.npz")
    outputs = raw_outputs(model)
    assert sorted(outputs) == sorted(expected)
    for key, values in expected.items():
        # Of the 1e-5 of parity; backends sum in other orders.
        np.testing.assert_allclose(outputs[key], values, atol=2e-5, rtol=1e-4, err_msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_keras_file_loads(name):
    model = keras.saving.load_model(FOLDER / name / "model.keras")
    check_outputs(model, name)
    assert int(model.optimizer.iterations) == 1
    momenta = [v for v in model.optimizer.variables if v.path.endswith("_momentum")]
    assert momenta
    assert any(np.abs(ops.convert_to_numpy(momentum)).max() > 0 for momentum in momenta)


@pytest.mark.once
def test_keras_file_trains_on():
    model = keras.saving.load_model(FOLDER / "deformable_detr_two_stage" / "model.keras")
    logs = model.train_on_batch(INPUTS, BATCH["bounding_boxes"], return_dict=True)
    assert np.isfinite(logs["loss"])
    assert int(model.optimizer.iterations) == 2


@pytest.mark.once
@pytest.mark.parametrize("name", MODELS)
def test_preset_folder_loads(name):
    model = keras_detr.SetPredictionDetector.from_preset(FOLDER / name / "preset")
    check_outputs(model, name)
    assert model.class_names == ("cat", "dog", "fox")


@pytest.mark.once
@pytest.mark.parametrize("name", MODELS)
def test_paths_of_variables_stay(name):
    paths = json.loads((FOLDER / name / "variables.json").read_text())
    assert variable_paths(MODELS[name]()) == paths


@pytest.mark.once
def test_names_that_models_no_longer_take_are_changed(tmp_path, caplog):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(FOLDER / "detr/model.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = json.loads(content)
                content["config"]["class_names"] = ["cat", "cat", None]
                content = json.dumps(content).encode()
            new.writestr(name, content)
    model = keras.saving.load_model(path)
    check_outputs(model, "detr")
    assert model.class_names == ("cat", "cat (class 1)", "class 2")
    assert caplog.text.count("Class names of the saved model") == 1
    with pytest.raises(ValueError, match="'cat' at the positions 0 and 1"):
        keras_detr.SetPredictionDetector.from_preset(
            FOLDER / "detr/preset", class_names=["cat", "cat", "fox"]
        )
