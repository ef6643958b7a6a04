"""Fetching and verifying, with the real huggingface_hub client and a Hub on 127.0.0.1."""

import errno
import hashlib
import os
import re
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import save

from keras_detr import checkpoints
from keras_detr.checkpoints import HubFile

from .hub_server import COMMIT, HubServer, run_client

REPO = "owner/tiny-detr"
WEIGHTS = save({"weight": np.random.default_rng(0).random(50_000, dtype=np.float32)})
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
FETCH = f"str(fetch(HubFile({REPO!r}, 'model.safetensors')))"

# Older clients (1.10 and before) neither resume within a call nor remove what they have of a file;
# what they give at last is whole all the same.
CLIENT = tuple(map(int, huggingface_hub.__version__.split(".")[:2]))
resuming_client = pytest.mark.skipif(CLIENT < (1, 20), reason="huggingface_hub is before 1.20")


@pytest.fixture
def hub(tmp_path):
    """Serve one model, and give `ask`, which evaluates an expression in a client process."""
    server = HubServer()
    server.files = {
        (REPO, "config.json"): b'{"model_type": "detr"}',
        (REPO, "model.safetensors"): WEIGHTS,
    }
    server.home = tmp_path / "home"
    server.ask = lambda expression, **arguments: run_client(
        expression, **{"endpoint": server.endpoint, "home": server.home} | arguments
    )
    yield server
    server.close()


def cached_files(hub):
    """Return what the cache holds: blobs and pointers, whole or half-written."""
    root = hub.home / "hub" / "models--owner--tiny-detr"
    return [
        p for part in ("blobs", "snapshots") for p in (root / part).rglob("*") if not p.is_dir()
    ]


def assert_right(answer):
    assert "value" in answer, answer
    assert Path(answer["value"]).read_bytes() == WEIGHTS


def assert_error(answer, kind, *parts):
    assert kind in answer.get("error", ()), answer
    for part in parts:
        assert part in answer["message"], answer["message"]


def test_download_with_progress_then_cache(hub):
    answer = hub.ask(FETCH)
    assert_right(answer)
    assert "model.safetensors" in answer["progress"]
    hub.log.clear()
    assert_right(hub.ask(FETCH))
    assert {method for method, _, _ in hub.log} == {"HEAD"}


def test_cached_files_load_offline_and_without_a_network(hub):
    assert_right(hub.ask(FETCH))
    hub.close()
    assert_right(hub.ask(FETCH))
    assert_right(hub.ask(FETCH, is_offline=True))


def test_uncached_offline_says_what_to_do(hub):
    answer = hub.ask(FETCH, is_offline=True)
    assert_error(
        answer,
        "FileNotFoundError",
        "HF_HUB_OFFLINE",
        f"`hf download {REPO} model.safetensors`",
        str(hub.home / "hub"),
        "models--owner--tiny-detr",
        "`weights=`",
    )
    assert not hub.log
    answer = hub.ask(f"str(resolve_hub_folder('hf://{REPO}@v1').config)", is_offline=True)
    assert_error(answer, "FileNotFoundError", f"`hf download {REPO} config.json --revision v1`")


@resuming_client
def test_a_broken_connection_resumes_within_the_call(hub):
    # The client writes pieces of 10 MiB: only what is longer can be taken up again.
    weights = save({"weight": np.arange(3_200_000, dtype=np.float32)})
    hub.files[(REPO, "model.safetensors")] = weights
    hub.cut_after, hub.cuts = 12_000_000, 1
    path = Path(hub.ask(FETCH)["value"])
    assert path.read_bytes() == weights
    ranges = [offset for method, _, offset in hub.log if method == "GET"]
    assert len(ranges) == 2
    assert ranges[1] is not None


@resuming_client
def test_a_broken_transfer_leaves_nothing_and_the_next_call_is_right(hub):
    hub.is_failing = True
    answer = hub.ask(FETCH)
    assert_error(answer, "ConnectionError", f"{REPO}/model.safetensors", "try again")
    assert cached_files(hub) == []
    assert "FileNotFoundError" in hub.ask(FETCH, is_offline=True)["error"]
    hub.is_failing = False
    assert_right(hub.ask(FETCH))


@resuming_client
def test_cut_midway_then_down_then_healthy(hub):
    hub.cut_after, hub.cuts, hub.is_failing_after_cut = 70_000, 1, True
    answer = hub.ask(FETCH)
    assert_error(answer, "ConnectionError", "Nothing half-written")
    assert len([path for method, path, _ in hub.log if method == "GET"]) == 2
    assert cached_files(hub) == []
    hub.is_failing = False
    assert_right(hub.ask(FETCH))


def test_a_damaged_transfer_is_refused_and_forgotten(hub):
    hub.is_flipping = True
    answer = hub.ask(FETCH)
    assert_error(
        answer, "CorruptedFileError", f"{REPO}/model.safetensors", SHA256, "removed from the cache"
    )
    assert "ValueError" in answer["error"]
    assert cached_files(hub) == []
    hub.is_flipping = False
    assert_right(hub.ask(FETCH))


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_damage_on_the_disk_is_found_at_the_next_load(hub, revision):
    fetch = f"str(fetch(HubFile({REPO!r}, 'model.safetensors', revision={revision!r})))"
    path = Path(hub.ask(fetch)["value"])
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    assert_error(hub.ask(fetch, is_offline=True), "CorruptedFileError", SHA256)
    assert cached_files(hub) == []
    assert_right(hub.ask(fetch))


FETCH_CONFIG = f"str(fetch(HubFile({REPO!r}, 'config.json')))"


@resuming_client
@pytest.mark.parametrize(
    ("name", "has_links"),
    [("config.json", True), ("config.json", False), ("model.safetensors", True)],
)
def test_a_damaged_file_is_fetched_anew(hub, name, has_links):
    fetch = f"str(fetch(HubFile({REPO!r}, {name!r})))"
    path = Path(hub.ask(fetch, has_links=has_links)["value"])
    whole = path.read_bytes()
    for content in (b"", b'{"model_type": "yolo"}'):
        path.write_bytes(content)
        answer = hub.ask(fetch, has_links=has_links)
        assert answer.get("value") == str(path), answer
        assert path.read_bytes() == whole
    assert path.is_symlink() == has_links
    # Without a connection the same file serves as it is.
    hub.close()
    assert Path(hub.ask(fetch, has_links=has_links)["value"]).read_bytes() == whole


def test_a_damaged_small_file_without_a_connection(hub):
    path = Path(hub.ask(FETCH_CONFIG)["value"])
    path.write_bytes(b'{"model_type": "yolo"}')
    answer = hub.ask(FETCH_CONFIG, is_offline=True)
    assert_error(answer, "CorruptedFileError", "Git hash", "with a connection")
    assert cached_files(hub) == []
    assert Path(hub.ask(FETCH_CONFIG)["value"]).read_bytes() == hub.files[REPO, "config.json"]


def test_damage_behind_a_shared_blob_is_removed_too(hub):
    path = Path(hub.ask(FETCH)["value"])
    blob = path.resolve()
    shared = hub.home / "shared" / ("f" * 64)
    shared.parent.mkdir()
    blob.rename(shared)
    blob.symlink_to(shared)
    assert_right(hub.ask(FETCH, is_offline=True))
    shared.write_bytes(WEIGHTS[:-1] + b"\0")
    assert_error(hub.ask(FETCH, is_offline=True), "CorruptedFileError", SHA256)
    assert not shared.exists()
    assert cached_files(hub) == []


def test_a_pinned_hash(hub):
    pinned = "str(fetch(HubFile({!r}, {!r}, sha256={!r})))"
    assert_right(hub.ask(pinned.format(REPO, "model.safetensors", SHA256[:8])))
    # The Hub's file is intact, only another one: it stays, for whoever wants it.
    answer = hub.ask(pinned.format(REPO, "model.safetensors", "0" * 8))
    assert_error(answer, "CorruptedFileError", "00000000", SHA256, "came intact", "`revision`")
    assert len(cached_files(hub)) == 2
    answer = hub.ask(pinned.format(REPO, "config.json", "0" * 64))
    assert_error(answer, "CorruptedFileError", "config.json", "came intact")


def test_a_full_disk(monkeypatch):
    def fill_up(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.hub.download, "hf_hub_download", fill_up)
    with pytest.raises(OSError, match=rf"'{REPO}/model\.safetensors'.*cache.*HF_HOME") as raised:
        checkpoints.fetch(HubFile(REPO, "model.safetensors"))
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize("sha256", ["e632da1", "E632DA11", "detr-r50", "0" * 65])
def test_a_malformed_hash(sha256):
    with pytest.raises(ValueError, match=re.escape(f"Received: {sha256!r}")):
        HubFile(REPO, "model.safetensors", sha256=sha256)


@pytest.mark.parametrize(
    ("arguments", "kind", "part"),
    [
        (("owner/none", "config.json"), "FileNotFoundError", "'owner/none'"),
        ((REPO, "none.json"), "FileNotFoundError", "no file 'none.json'"),
        ((REPO, "config.json", "v9"), "FileNotFoundError", "no revision 'v9'"),
        (("owner/gated", "config.json"), "PermissionError", "hf auth login"),
        (("a/b/c", "config.json"), "ValueError", "'owner/name'"),
    ],
)
def test_what_the_hub_refuses(hub, arguments, kind, part):
    hub.files[("owner/gated", "config.json")] = b"{}"
    hub.gated.add("owner/gated")
    assert_error(hub.ask(f"str(fetch(HubFile(*{arguments!r})))"), kind, part)
