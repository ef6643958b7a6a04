"""Examples are short, and their arguments are those of the command."""

import re

import pytest

from tests.examples.examples import EXAMPLES

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import argparse

from keras_detr.cli.arguments import COMMANDS as ADD

MOST_LINES = 80
# The quick start is measured as it is, and the README shows its figures.
LONGER = {"quickstart": 90}
# An example, and the command that does the same.
COMMANDS = {
    "evaluate_coco": "evaluate",
    "export": "export",
    "finetune": "train",
    "predict": "predict",
    "segment": "predict",
    "train_coco": "train",
    "train_ddp": "train",
}
# Arguments of an example that its command has no use for.
OWN = {
    "evaluate_coco": {"--split"},
    "segment": {"--kind"},
    "train_coco": {"--backbone", "--data-dir"},
}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def arguments_of(name):
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    return set(re.findall(r'add_argument\(\s*"([-\w]+)"', source))


def arguments_of_command(name):
    parser = argparse.ArgumentParser(add_help=False)
    ADD[name](parser)
    return {name for action in parser._actions for name in action.option_strings or [action.dest]}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short(name):
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGER.get(name, MOST_LINES)


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments_are_named_as_those_of_the_command(name):
    found = arguments_of(name)
    assert found - OWN.get(name, set()) <= arguments_of_command(COMMANDS[name])
    assert len(found) > 2


def test_every_example_is_looked_at():
    assert {*COMMANDS, "quickstart"} == set(NAMES)
