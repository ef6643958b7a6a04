"""What is published beside the code: lists and settings that repeat others agree with them."""

import itertools
import pathlib
import re
import tomllib

import pytest
import yaml

import keras_detr

REPOSITORY = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
# What needs TensorFlow, and what such a package needs.
NEED_TENSORFLOW = {"tensorflow", "keras-cv", "tensorflow-datasets", "importlib-resources"}


def read_yaml(path):
    return yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0]


def test_requirements_without_tensorflow_are_the_others():
    lines = (REPOSITORY / "requirements-without-tensorflow.txt").read_text().splitlines()
    expected = [r for r in PROJECT["dependencies"] if name_of(r) not in NEED_TENSORFLOW]
    assert [line for line in lines if not line.startswith("#")] == expected
    assert {name_of(r) for r in PROJECT["dependencies"]} >= NEED_TENSORFLOW


def test_every_requirement_has_a_lower_bound():
    extras = PROJECT["optional-dependencies"].values()
    for requirement in itertools.chain(PROJECT["dependencies"], *extras):
        if not requirement.startswith("keras_detr"):
            assert re.match(r"[\w.-]+>=\d", requirement), requirement


def test_the_citation_is_of_this_version():
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == keras_detr.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source"]


def test_the_changelog_has_this_version():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {keras_detr.__version__}\n" in changelog


@pytest.mark.parametrize("name", ["tests", "weekly"])
def test_workflows_call_the_scripts(name):
    jobs = read_yaml(f".github/workflows/{name}.yml")["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    scripts = [re.fullmatch(r"bash (\.ci/\w+)", command)[1] for command in commands]
    assert len(scripts) == len(jobs)
    assert all((REPOSITORY / script).is_file() for script in scripts)


def test_every_script_has_a_workflow():
    workflows = "".join(p.read_text() for p in (REPOSITORY / ".github/workflows").iterdir())
    for script in (REPOSITORY / ".ci").iterdir():
        assert f"bash .ci/{script.name}\n" in workflows


def test_hooks_before_a_commit_run_commands_of_ci():
    steps = (REPOSITORY / ".ci/run").read_text()
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        assert re.search(rf'^step "{hook["name"]}" {re.escape(hook["entry"])}$', steps, re.M)


def test_one_address_everywhere():
    texts = [path.read_text(encoding="utf-8") for path in REPOSITORY.glob("docs/*.md")]
    names = ("README.md", "CHANGELOG.md", "CITATION.cff", ".github/ISSUE_TEMPLATE/config.yml")
    texts += [(REPOSITORY / name).read_text(encoding="utf-8") for name in names]
    found = set(re.findall(r"https://github\.com/[\w-]+/keras_detr\b", "".join(texts)))
    assert found == {PROJECT["urls"]["Source"]}
