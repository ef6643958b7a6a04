"""Run the notebook from top to bottom in a kernel of its own, on a few images."""

import pathlib

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient isn't installed")
pytest.importorskip("ipykernel", reason="ipykernel, of nbclient, isn't installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat, of nbclient, isn't installed")
pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

REPOSITORY = pathlib.Path(__file__).parents[2]
NOTEBOOK = REPOSITORY / "examples" / "quickstart.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_DETR_NOTEBOOK_IMAGES", "16")
    monkeypatch.setenv("KERAS_DETR_NOTEBOOK_EPOCHS", "1")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    # Its programs are compiled as a user's are.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    # The kernel of this environment, whatever kernels the user has.
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook = read()
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    streams = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "val_AP" in streams
    assert (tmp_path / "detector.keras").stat().st_size > 1e6


def test_it_is_committed_without_outputs():
    notebook = read()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None
