"""Find and read the data.yaml of a data set in the layout of Ultralytics' YOLO."""

import os
import pathlib
from collections import Counter

import yaml

from keras_detr.batches.class_names import check_class_names
from keras_detr.checkpoints.files.regular_files import read_regular
from keras_detr.datasets.data_report import brief
from keras_detr.datasets.image_files import checked_folder

# In bytes.
_LARGEST_SETTINGS = 1_000_000
_MOST_KEYPOINTS = 10_000
# What YAML takes for no value.
NO_VALUE = (None, "", "~", "null")
_SUFFIXES = (".yaml", ".yml")


def settings_path(folder):
    """Return the path of data.yaml: that in a folder, the only one of another name, or this file.

    Raises:
        FileNotFoundError: there is no such file or folder, or the folder has none or several.
        ValueError: `folder` is no path.
    """
    if isinstance(folder, (str, os.PathLike)):
        path = pathlib.Path(folder)
        if path.suffix in _SUFFIXES and path.is_file():
            return path
    path = checked_folder(folder, "folder") / "data.yaml"
    if path.exists():
        return path
    others = sorted(other for other in path.parent.iterdir() if other.suffix in _SUFFIXES)
    if len(others) == 1:
        return others[0]
    found = ""
    if others:
        found = f" Found {brief([other.name for other in others])}: pass the path of one."
    raise FileNotFoundError(
        f"`folder`: there is no {str(path)!r}.{found} Pass the folder that holds data.yaml. Where "
        "there is none, write one: a line 'train: ' with the folder of the images, '.' for this "
        "one, and a line 'names: [...]' with the classes, as classes.txt lists them."
    )


class _SettingsLoader(yaml.BaseLoader):
    """Read YAML, but refuse a key that is there twice, of which the last one would count.

    The base class reads every word as text, as "no" and "on" may name classes, and doesn't merge
    keys, which can grow without end in some versions.
    """

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, count in Counter(keys).items():
            if count > 1:
                problem = f"the key {brief(key)} is there {count} times"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_settings(path):
    """Return the content of a data.yaml as a dict of text."""
    try:
        content = read_regular(path, _LARGEST_SETTINGS).decode("utf-8")
        settings = yaml.load(content, _SettingsLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{str(path)!r} can't be read as YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{str(path)!r} must hold names and splits. Received: {brief(settings)}.")
    return settings


def names_of_classes(settings, path, class_names):
    """Return the tuple of the classes that a data.yaml names, or the caller's where it has none."""
    names = settings.get("names")
    if names in NO_VALUE and class_names is not None:
        return class_names
    if isinstance(names, dict):
        names = [names.get(str(label)) for label in range(len(names))]
    is_right = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_right or not names:
        raise ValueError(
            f"'names' of {str(path)!r} must list the classes, or map 0, 1, 2, ... "
            f"to them without holes. Received: {brief(settings.get('names'))}."
        )
    number = settings.get("nc")
    if isinstance(number, str) and number.isdecimal() and int(number[:9]) != len(names):
        raise ValueError(
            f"'nc' of {str(path)!r} must be the number of 'names', which is {len(names)}. "
            f"Received: {brief(number)}."
        )
    return check_class_names(names, what=f"'names' of {str(path)!r}")


def keypoint_values(settings, path):
    """Return how many numbers of a line are keypoints: 0 where lines are boxes or polygons."""
    shape = settings.get("kpt_shape")
    if shape in NO_VALUE:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(map(_is_count, shape)):
        raise ValueError(
            f"'kpt_shape' of {str(path)!r} must hold the number of keypoints and "
            f"that of values for each. Received: {brief(shape)}."
        )
    return int(shape[0]) * int(shape[1])


def _is_count(text):
    return isinstance(text, str) and text.isdecimal() and 1 <= int(text[:9]) <= _MOST_KEYPOINTS
