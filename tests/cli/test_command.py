"""What all commands share: help, exit codes, and errors in one line."""

import subprocess
import sys

import pytest

import keras_detr
from keras_detr import cli
from keras_detr.cli import command

MESSAGE = "keras-detr info: a.jpg can't be read Leave it out."


class Damaged(Exception):
    """Stand for TensorFlow's InvalidArgumentError."""


def test_help_names_each_command(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"keras-detr {name}" in said for name in command.COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"keras_detr {keras_detr.__version__}\n"


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_of_each_command(name, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: keras-detr {name}" in capsys.readouterr().out


def test_help_and_mistakes_do_not_wait_for_keras():
    code = """if True:
        import contextlib, sys
        from keras_detr.cli import command
        for arguments in (["train", "--help"], ["info"], ["evaluate", "data", "--seed", "x"]):
            with contextlib.suppress(SystemExit):
                command.main(arguments)
        assert "keras" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["info"], ["info", "a", "--wings", "2"]])
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage: keras-detr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("`source` must be known."), 1, "keras-detr info: MODEL must be known."),
        (ValueError("`load_weights` isn't typed."), 1, "`load_weights` isn't typed."),
        (FileNotFoundError("There is no file."), 1, "keras-detr info: There is no file."),
        (NotImplementedError("Not here."), 1, "keras-detr info: Not here."),
        (MemoryError(), 1, "What helps, the first most: a smaller model."),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"), 1, "The memory isn't enough."),
        (Damaged("assertion failed: [a.jpg can\\'t be read] [Leave it out.]"), 1, MESSAGE),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_are_one_message(error, code, message, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setattr(cli.info, "run", fail)
    assert command.main(["info", "model.keras"]) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert "more" not in said.splitlines()


@pytest.mark.parametrize(
    ("error", "options"), [(ValueError("wrong"), ["--debug"]), (KeyError("a bug"), [])]
)
def test_what_is_shown_whole(error, options, monkeypatch):
    def fail(arguments):
        raise error

    monkeypatch.setattr(cli.info, "run", fail)
    with pytest.raises(type(error)):
        command.main(["info", "model.keras", *options])


def test_memory_is_saved_by_what_a_command_has():
    _, parsers = command.make_parser()
    assert "a smaller --batch-size, a smaller --short-side, --mixed" in command.memory_advice(
        parsers["train"]
    )
    assert "--mixed" not in command.memory_advice(parsers["evaluate"])


def test_an_interrupted_training_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "run", interrupt)
    arguments = ["train", "my_data", "--output", str(tmp_path)]
    assert command.main(arguments) == 130
    assert "--resume" not in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert command.main(arguments) == 130
    assert f"To go on: keras-detr train --resume {tmp_path}" in capsys.readouterr().err
