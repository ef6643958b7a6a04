"""Presets through a Hub on 127.0.0.1, with the real huggingface_hub client."""

import numpy as np
import pytest

from keras_detr.models import DETR

from .hub_process import run_with_hub

# huggingface_hub reads its environment when it is imported, hence processes of their own. The tiny
# preset stands for a published one, whose file would be 160 MB.
PREPARATION = """
import dataclasses, json, logging, logging.handlers, os, sys
import numpy as np
from tests.checkpoints.hub.hub_server import COMMIT, HubServer
server = HubServer()
os.environ["HF_ENDPOINT"] = server.endpoint
from keras import ops
from safetensors.numpy import save
from keras_detr.checkpoints import HubFile
from keras_detr.models import DETR
from tests.models.presets.test_presets import HEAD, NUM_ROWS, TINY_SETTINGS, tensors_of
from tests.models.torch_oracles import random_tensors

def register(name, repository):
    preset = DETR.presets["detr_r50"]
    DETR.presets[name] = dataclasses.replace(
        preset,
        settings={**preset.settings, **TINY_SETTINGS},
        weights=HubFile(repository, "model.safetensors"),
    )

def attempt(preset, **arguments):
    try:
        model = DETR.from_preset(preset, **arguments)
    except Exception as error:
        return {"error": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}
    kernel = tensors_of(model)["input_proj.weight"]
    return {"kernel": kernel.ravel().tolist()[:5], "class_names": model.class_names}

register("detr_tiny", "owner/tiny")
register("detr_damaged", "owner/damaged")
register("detr_older", "owner/older")
register("detr_empty", "owner/empty")
answers = {}
"""

ONLINE = """
variables = DETR.from_preset("detr_tiny", load_weights=False).checkpoint_variables()
shapes = {name: entry.torch_shape for name, entry in variables.items()}
for name in HEAD:
    shapes[name] = (NUM_ROWS, *shapes[name][1:])
tensors = random_tensors(shapes)
of_three_classes = {**tensors, **{name: tensors[name][:4] for name in HEAD}}
config = {
    "model_type": "detr",
    "backbone_config": {
        "model_type": "resnet", "layer_type": "basic", "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 16, 32], "embedding_size": 8,
    },
    "use_timm_backbone": False, "id2label": {"0": "red", "1": "green", "2": "blue"},
    "d_model": 32, "num_queries": 10, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
}
server.files = {
    ("owner/tiny", "model.safetensors"): save(tensors),
    ("owner/damaged", "model.safetensors"): save({**tensors, "input_proj.bias": np.ones(32, "f4")}),
    ("owner/older", "pytorch_model.bin"): b"not torch's",
    ("owner/empty", "README.md"): b"",
    ("owner/three", "config.json"): json.dumps(config).encode(),
    ("owner/three", "model.safetensors"): save(of_three_classes),
}
answers["expected"] = tensors["input_proj.weight"].ravel().tolist()[:5]
server.cut_after, server.cuts, server.is_failing_after_cut = 70_000, 1, True
answers["cut off"] = attempt("detr_tiny")
server.is_failing = False
answers["again"] = attempt("detr_tiny")
answers["fine-tuned"] = attempt("hf://owner/three")
answers["unknown"] = attempt("hf://owner/none")
answers["older"] = attempt("detr_older")
answers["older requests"] = [path for _, path, _ in server.log if "owner/older" in path]
answers["empty"] = attempt("detr_empty")
handler = logging.handlers.BufferingHandler(1000)
logger = logging.getLogger("keras_detr")
logger.addHandler(handler)
logger.setLevel(logging.INFO)
answers["pinned"] = attempt("detr_tiny", revision=COMMIT)
attempt("detr_tiny")
answers["log"] = [record.getMessage() for record in handler.buffer]
answers["commit"] = COMMIT
answers["pinned fine-tuned"] = attempt("hf://owner/three", revision=COMMIT)
answers["twice"] = attempt(f"hf://owner/three@{COMMIT}", revision=COMMIT)
answers["no such revision"] = attempt("detr_tiny", revision="v9")
server.is_flipping = True
answers["damaged"] = attempt("detr_damaged")
server.is_flipping = False
answers["repaired"] = attempt("detr_damaged")
"""

OFFLINE = """
answers["cached"] = attempt("detr_tiny")
answers["fine-tuned"] = attempt("hf://owner/three")
answers["uncached"] = attempt("detr_r50")
answers["without weights"] = attempt("detr_tiny", load_weights=False)
answers["requests"] = len(server.log)
"""

FINISH = """
print(json.dumps(answers))
server.close()
"""


def run(script, home, is_offline):
    script = PREPARATION + script + FINISH
    return run_with_hub(script, home, HF_HUB_OFFLINE=str(int(is_offline)))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Give the folder in which the Hub's client keeps its cache."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(home):
    """Give the answers of a Hub that misbehaves now and then."""
    return run(ONLINE, home, is_offline=False)


@pytest.fixture(scope="module")
def offline(home, online):
    """Give the answers without a network, after those with one."""
    return run(OFFLINE, home, is_offline=True)


@pytest.mark.slow
def test_a_download_that_was_cut_off_starts_clean(online):
    assert "ConnectionError" in online["cut off"]["error"]
    assert "owner/tiny/model.safetensors" in online["cut off"]["message"]
    assert "Nothing half-written" in online["cut off"]["message"]
    np.testing.assert_array_equal(online["again"]["kernel"], online["expected"])


@pytest.mark.slow
def test_a_fine_tuned_model_of_the_hub(online):
    assert online["fine-tuned"]["class_names"] == ["red", "green", "blue"]
    np.testing.assert_array_equal(online["fine-tuned"]["kernel"], online["expected"])
    assert "owner/none" in online["unknown"]["message"]


@pytest.mark.slow
def test_weights_of_a_revision(online):
    np.testing.assert_array_equal(online["pinned"]["kernel"], online["expected"])
    np.testing.assert_array_equal(online["pinned fine-tuned"]["kernel"], online["expected"])
    assert "which has one already" in online["twice"]["message"]
    assert "'v9'" in online["no such revision"]["message"]
    commit = online["commit"]
    assert online["log"] == [
        f"Loaded owner/tiny@{commit}/model.safetensors of commit {commit}.",
        f"Loaded owner/tiny/model.safetensors of commit {commit}.",
    ]


def test_a_revision_of_what_has_none(tmp_path):
    weights = {"weights": tmp_path / "w.safetensors"}
    for preset, arguments in (
        (tmp_path, {}),
        ("detr_r50", weights),
        ("resnet50_imagenet", weights),
    ):
        with pytest.raises(ValueError, match=r"`revision` must be left out"):
            DETR.from_preset(preset, num_classes=2, revision="main", **arguments)


@pytest.mark.slow
def test_a_damaged_file_is_refused_by_name_and_fetched_anew(online):
    assert "CorruptedFileError" in online["damaged"]["error"]
    assert "owner/damaged/model.safetensors" in online["damaged"]["message"]
    np.testing.assert_array_equal(online["repaired"]["kernel"], online["expected"])


@pytest.mark.slow
def test_without_a_network(offline, online):
    np.testing.assert_array_equal(offline["cached"]["kernel"], online["expected"])
    np.testing.assert_array_equal(offline["fine-tuned"]["kernel"], online["expected"])
    assert "FileNotFoundError" in offline["uncached"]["error"]
    message = offline["uncached"]["message"]
    assert "`hf download facebook/detr-resnet-50 model.safetensors`" in message
    assert "HF_HUB_OFFLINE" in message
    assert "kernel" in offline["without weights"]
    assert offline["requests"] == 0


@pytest.mark.slow
def test_the_older_file_where_there_is_no_other(online):
    # What torch's file holds is read elsewhere; here it is found, or torch is asked for.
    message = online["older"]["message"]
    assert "pytorch_model.bin" in message
    assert "torch, which isn't installed" in message or "Can't read" in message
    asked = [path.rsplit("/", 1)[-1] for path in online["older requests"]]
    assert asked[0] == "model.safetensors"
    assert asked[-1] == "pytorch_model.bin"
    assert "NotInRepositoryError" in online["empty"]["error"]
    assert "holds no weights" in online["empty"]["message"]
