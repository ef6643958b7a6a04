"""Presets that are uploaded to a Hub on 127.0.0.1 with the real client, and loaded from there."""

import json

import numpy as np
import pytest

from keras_detr.models import DETR, ResNetBackbone, SetPredictionDetector
from tests.models.detectors import tiny_detr

from .hub_process import run_with_hub

# One process for all: it takes seconds to start. Without Xet the client speaks Git LFS, which the
# small Hub can; it would wait between its attempts.
PREPARATION = """
import json, os, pathlib, tempfile, time
from tests.checkpoints.hub.upload_server import READING, UNKNOWN, WRITING, UploadServer
server = UploadServer()
os.environ["HF_ENDPOINT"] = server.endpoint
import numpy as np
from huggingface_hub import close_session
from keras import ops
import keras_detr
from keras_detr.models import DETR, ResNetBackbone, SetPredictionDetector
from keras_detr.models.presets.checkpoint_variables import read_variables
from tests.models.detectors import DETECTORS, inputs_of, tiny_backbone, tiny_batch
from tests.one_program import outputs_of
from tests.models.detectors import tiny_deformable_detr
time.sleep = lambda seconds: None
inputs = inputs_of(tiny_batch(batch_size=2))
answers = {}

def attempt(call):
    try:
        value = call()
    except Exception as error:
        return {"error": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}
    return {"value": value if isinstance(value, str) else None}

def features_of(backbone):
    return ops.convert_to_numpy(backbone(inputs["images"]))

def difference(first, second):
    first, second = (outputs_of(model, inputs) for model in (first, second))
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)
"""

ROUND_TRIPS = """
os.environ["HF_TOKEN"] = WRITING
builders = {name: detector.build for name, detector in DETECTORS.items()}
builders["denoising"] = lambda **settings: tiny_deformable_detr(
    use_box_refinement=True, denoising=keras_detr.ContrastiveDenoising(num_queries=7), **settings
)
for name, build in builders.items():
    model = build(class_names=["cat", "dog", "red|blue"], preprocessor_sizes=(48, 80))
    address = model.upload_preset(f"hf://owner/{name}", private=True)
    server.log.clear()
    again = SetPredictionDetector.from_preset(f"hf://owner/{name}")
    tensors, same = (read_variables(m.checkpoint_variables()) for m in (model, again))
    answers[name] = {
        "address": address == f"{server.endpoint}/owner/{name}/tree/{server.commit}",
        "class": [type(model).__name__, type(again).__name__],
        "difference": difference(model, again),
        "variables": all((same[key] == value).all() for key, value in tensors.items()),
        "names": again.class_names,
        "sizes": again.preprocessor_sizes,
        "denoising": [m.denoising and m.denoising.num_queries for m in (model, again)],
        "requests": sorted({path.rsplit("/", 1)[-1] for _, path, _ in server.log}),
        "weights of the commit": [
            f"/resolve/{server.commit}/" in path for _, path, _ in server.log if "weights" in path
        ],
        "files": sorted(file for repository, file in server.files if repository == f"owner/{name}"),
        "private": server.private[f"owner/{name}"],
        "commits": server.commits[-1][1:],
    }
    if name == "detr":
        first, first_commit = model, server.commit

model = DETR.from_preset("hf://owner/detr", num_classes=5, num_queries=4)
kept = read_variables(model.checkpoint_variables())["input_proj.weight"]
answers["overrides"] = [
    model.num_classes, model.num_queries, model.class_names, model.preprocessor_sizes,
    bool((kept == read_variables(first.checkpoint_variables())["input_proj.weight"]).all()),
]
answers["wrong class"] = attempt(lambda: keras_detr.DeformableDETR.from_preset("hf://owner/detr"))
server.log.clear()
fresh = DETR.from_preset("hf://owner/detr", load_weights=False)
answers["without weights"] = [path.rsplit("/", 1)[-1] for _, path, _ in server.log]

backbone = tiny_backbone()
backbone.upload_preset("hf://owner/backbone", license="MIT")
again = ResNetBackbone.from_preset("hf://owner/backbone")
answers["backbone"] = bool(
    (features_of(again) == features_of(backbone)).all()
)
answers["backbone card"] = server.files["owner/backbone", "README.md"].decode()

first.class_head.bias.assign(np.ones(4))
answers["card before"] = server.files["owner/detr", "README.md"].decode()
server.files["owner/detr", "README.md"] = b"edited"
first.upload_preset("hf://owner/detr", commit_message="better", metrics={"AP": 0.5})
answers["second"] = [server.commits[-1][1:], server.files["owner/detr", "README.md"].decode()]
answers["newest"] = float(DETR.from_preset("hf://owner/detr").class_head.bias[0])
first.upload_preset("hf://owner/detr", metrics={"AP": 0.5}, replace_card=True)
answers["replaced"] = server.files["owner/detr", "README.md"].decode()
answers["unchanged"] = attempt(lambda: first.upload_preset("hf://owner/detr"))
"""

DAMAGED = """
os.environ["HF_TOKEN"] = WRITING
first, second = DETECTORS["detr"].build(), DETECTORS["detr"].build()
weights = {}
for name, model in (("whole", first), ("other", second)):
    model.upload_preset(f"hf://owner/{name}")
    weights[name] = server.files[f"owner/{name}", "model.weights.h5"]
config = server.files["owner/whole", "config.json"]
server.files |= {
    ("owner/partial", "config.json"): config,
    ("owner/halves", "config.json"): config,
    ("owner/halves", "model.weights.h5"): weights["other"],
    ("owner/broken", "config.json"): config[:-100],
}
for name in ("partial", "halves", "broken"):
    answers[name] = attempt(lambda: DETR.from_preset(f"hf://owner/{name}"))
server.cut_after, server.cuts, server.is_failing_after_cut = 70_000, 1, True
answers["cut off"] = attempt(lambda: DETR.from_preset("hf://owner/whole"))
server.is_failing = False
server.is_flipping = True
answers["flipped"] = attempt(lambda: DETR.from_preset("hf://owner/whole"))
server.is_flipping = False
answers["difference"] = difference(first, DETR.from_preset("hf://owner/whole"))
server.close()
answers["without the server"] = difference(first, DETR.from_preset("hf://owner/whole"))
"""

REFUSED = """
tempfile.tempdir = tempfile.mkdtemp()
model = DETECTORS["detr"].build()
upload = model.upload_preset
answers["no token"] = attempt(lambda: upload("hf://owner/x"))
for name in ("owner/x", "x", "hf://x", "hf://owner/x@main", "https://huggingface.co/owner/x"):
    answers[name] = attempt(lambda: upload(name, token=WRITING))
answers["refused at the door"] = len(server.log)
answers["license"] = attempt(lambda: upload("hf://owner/x", token=WRITING, license="my own!"))
answers["metrics"] = attempt(lambda: upload("hf://owner/x", token=WRITING, metrics={"AP": [1]}))
answers["unknown token"] = attempt(lambda: upload("hf://owner/x", token=UNKNOWN))
answers["other's name"] = attempt(lambda: upload("hf://other/x", token=WRITING))
answers["not a name"] = attempt(lambda: upload("hf://owner/x--y", token=WRITING))
server.files["owner/readable", "README.md"] = b""
answers["reading token"] = attempt(lambda: upload("hf://owner/readable", token=READING))
for tool, config in (("transformers", b'{"model_type": "detr"}'), ("keras_hub", b"[]")):
    server.files[f"owner/{tool}", "config.json"] = config
    server.files[f"owner/{tool}", "model.weights.h5"] = b""
    answers[tool] = attempt(lambda: upload(f"hf://owner/{tool}", token=WRITING))
answers["branch"] = attempt(lambda: upload("hf://owner/x", token=WRITING, revision="v9"))
answers["card"] = attempt(lambda: upload("hf://owner/x", token=WRITING, license="unknown"))
answers["broken"] = {}
for step in ("create", "tree", "card", "preupload", "batch", "storage", "commit"):
    # Who may not create a repository may still write to one that exists.
    for status in (500, 404, None) if step == "create" else (500, 404, 401, 403, None):
        server.failures = {step: status}
        answer = attempt(lambda: upload("hf://owner/x", token=WRITING))
        answers["broken"][f"{step} {status}"] = answer
server.failures = {}
answers["committed"] = list(server.commits)
answers["at last"] = attempt(lambda: upload("hf://owner/x", token=WRITING))
answers["files"] = sorted(name for repository, name in server.files if repository == "owner/x")
server.close()
# The client would go on with the connections that it has.
close_session()
answers["server gone"] = attempt(lambda: upload("hf://owner/x", token=WRITING))
answers["left behind"] = [str(path) for path in pathlib.Path(tempfile.tempdir).iterdir()]
"""

FINISH = """
print(json.dumps(answers))
"""


def run(script, home, **variables):
    return run_with_hub(PREPARATION + script + FINISH, home, HF_HUB_DISABLE_XET="1", **variables)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Give the answers about models that were uploaded and loaded again."""
    return run(ROUND_TRIPS, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Give the answers of a Hub that doesn't take what it is given."""
    return run(REFUSED, tmp_path_factory.mktemp("home"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detr", "deformable_detr", "dino_detr", "denoising"])
def test_what_was_uploaded_is_loaded(shared, name):
    answer = shared[name]
    assert answer["address"]
    assert answer["class"][0] == answer["class"][1]
    assert answer["difference"] == 0
    assert answer["variables"]
    assert answer["names"] == ["cat", "dog", "red|blue"]
    assert answer["sizes"] == [48, 80]
    assert answer["denoising"][0] == answer["denoising"][1]
    assert (answer["denoising"][0] is not None) == (name in ("dino_detr", "denoising"))
    assert answer["private"]
    files = ["README.md", "config.json", "model.weights.h5"]
    assert answer["files"] == files
    kind = answer["class"][0]
    assert answer["commits"] == [f"Upload {kind} with keras_detr", files]
    # Nothing but what is needed; weights come from another server, by their hash.
    asked = [name for name in answer["requests"] if "." in name]
    assert asked == ["config.json", "model.weights.h5"]
    assert len(answer["requests"]) == 3
    # A commit between two requests must not mix two models.
    assert answer["weights of the commit"]
    assert all(answer["weights of the commit"])


@pytest.mark.slow
def test_arguments_work_as_for_local_folders(shared):
    assert shared["overrides"] == [5, 4, None, [48, 80], True]
    assert set(shared["without weights"]) == {"config.json"}
    assert "not a DeformableDETR" in shared["wrong class"]["message"]
    assert "hf://owner/detr" in shared["wrong class"]["message"]


@pytest.mark.slow
def test_a_backbone(shared):
    assert shared["backbone"]
    card = shared["backbone card"]
    assert "license: mit\npipeline_tag: image-feature-extraction\n" in card
    assert 'keras_detr.ResNetBackbone.from_preset("hf://owner/backbone")' in card


@pytest.mark.slow
def test_a_second_upload_keeps_an_edited_card(shared):
    commit, card = shared["second"]
    assert commit == ["better", ["config.json", "model.weights.h5"]]
    assert card == "edited"
    assert shared["newest"] == 1.0
    assert "| AP | 0.500 |" in shared["replaced"]
    assert shared["replaced"].startswith(shared["card before"].split("## Results")[0])
    assert "/tree/" in shared["unchanged"]["value"]


@pytest.mark.slow
def test_damaged_and_partial_repositories(tmp_path):
    answers = run(DAMAGED, tmp_path)
    assert "NotInRepositoryError" in answers["partial"]["error"]
    assert "has no file 'model.weights.h5'" in answers["partial"]["message"]
    assert "isn't the file that config.json was saved with" in answers["halves"]["message"]
    assert "isn't JSON" in answers["broken"]["message"]
    assert "ConnectionError" in answers["cut off"]["error"]
    assert "CorruptedFileError" in answers["flipped"]["error"]
    assert answers["difference"] == 0
    assert answers["without the server"] == 0


@pytest.mark.slow
def test_what_is_refused_before_anything_is_sent(refused):
    assert "PermissionError" in refused["no token"]["error"]
    assert "`hf auth login`, set HF_TOKEN, or pass `token`" in refused["no token"]["message"]
    for name in ("owner/x", "https://huggingface.co/owner/x"):
        message = refused[name]["message"]
        assert message.endswith("If it is a repository of the Hub, write 'hf://owner/x'.")
    for name in ("owner/x", "x", "hf://x", "hf://owner/x@main"):
        assert "ValueError" in refused[name]["error"]
        assert "`preset` must be 'hf://owner/name'" in refused[name]["message"]
    assert refused["refused at the door"] == 0
    assert "`license` must be an identifier" in refused["license"]["message"]
    assert "`metrics` must hold finite numbers or texts" in refused["metrics"]["message"]


@pytest.mark.slow
def test_what_the_hub_refuses(refused):
    def assert_error(name, kind, part):
        assert kind in refused[name]["error"], refused[name]
        assert part in refused[name]["message"]
        assert "\n" not in refused[name]["message"]

    assert_error("unknown token", "PermissionError", "doesn't accept the token for 'owner/x'")
    assert_error("other's name", "PermissionError", "may not write to 'other/x'")
    assert_error("reading token", "PermissionError", "may not write to 'owner/readable'")
    assert_error("not a name", "ValueError", "'owner/x--y' isn't a name that the Hub allows")
    assert_error("transformers", "ValueError", "'owner/transformers' holds another tool's model")
    assert_error("keras_hub", "ValueError", "'owner/keras_hub' holds another tool's model")
    assert_error("branch", "FileNotFoundError", "has no branch 'v9'")
    assert_error("card", "ValueError", '"license" must be one of [mit]')


@pytest.mark.slow
def test_uploads_that_break_off(refused):
    kinds = {
        "500": ("ConnectionError", "broke off: Server error '500"),
        "404": ("NotInRepositoryError", "There is no Hub repository 'owner/x'"),
        "401": ("PermissionError", "doesn't accept the token for 'owner/x'"),
        "403": ("PermissionError", "may not write to 'owner/x'"),
        "None": ("ConnectionError", "broke off: "),
    }
    assert len(refused["broken"]) == 33
    for step, answer in refused["broken"].items():
        name, status = step.split()
        # Of a check of the card that fails, the client doesn't tell the status.
        kind, part = ("ConnectionError", "broke off") if name == "card" else kinds[status]
        assert kind in answer["error"], (step, answer)
        assert part in answer["message"], (step, answer)
        assert "\n" not in answer["message"]
    assert "value" in refused["at last"]
    assert refused["files"] == ["README.md", "config.json", "model.weights.h5"]
    assert "ConnectionError" in refused["server gone"]["error"]
    assert "try again" in refused["server gone"]["message"]


@pytest.mark.slow
def test_nothing_is_left_behind(refused):
    assert refused["left behind"] == []
    assert refused["committed"] == []


@pytest.mark.slow
def test_offline(tmp_path):
    script = """
answers["upload"] = attempt(lambda: DETECTORS["detr"].build().upload_preset("hf://owner/x"))
answers["requests"] = len(server.log)
"""
    answers = run(script, tmp_path, HF_HUB_OFFLINE="1", HF_TOKEN="hf_writing")
    assert "ConnectionError" in answers["upload"]["error"]
    assert "HF_HUB_OFFLINE forbids it" in answers["upload"]["message"]
    assert answers["requests"] == 0


@pytest.mark.every_backend
@pytest.mark.parametrize("cls", [DETR, SetPredictionDetector, ResNetBackbone])
def test_a_name_of_the_hub_without_its_prefix(cls):
    hint = r"there is no folder there\. If it is a repository of the Hub, write '{}'\."
    for name, meant in (
        ("facebook/detr-resnet-50", "hf://facebook/detr-resnet-50"),
        ("facebook/detr-resnet-50@v1", "hf://facebook/detr-resnet-50@v1"),
        ("https://huggingface.co/facebook/detr", "hf://facebook/detr"),
    ):
        with pytest.raises(ValueError, match=hint.format(meant)):
            cls.from_preset(name)
    for name in ("my_detector", "./runs/best", "a/b/c", "/tmp/x"):
        with pytest.raises(ValueError, match=r"there is no folder there\.$"):
            cls.from_preset(name)


def test_a_folder_of_such_a_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tiny_detr()
    model.save_to_preset("runs/best")
    assert DETR.from_preset("runs/best").num_classes == model.num_classes
    config = json.loads((tmp_path / "runs" / "best" / "config.json").read_text())
    assert np.size(config["weights_sha256"]) == 1
