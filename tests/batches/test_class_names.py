"""Names of classes: what is refused, what a file that has to load makes of it, and where."""

import numpy as np
import pytest

from keras_detr.batches.class_names import check_class_names, repaired_class_names
from keras_detr.evaluation import COCOMetrics
from keras_detr.visualization.drawn_objects import drawn_objects

WRONG = {
    "a str": ("cat", "must be a list.*'cat'"),
    "a dict": ({0: "cat"}, "must be a list.*a dict"),
    "a set": ({"cat", "dog"}, "must be a list.*set"),
    "a number": (3, "must be a list.*3"),
    "none": ([], "at least one"),
    "repeated": (["cat", "dog", "cat"], "'cat' at the positions 0 and 2"),
    "repeated but for blanks": (["cat", "dog", " dog"], "'dog' at the positions 1 and 2"),
    "an int": (["cat", 1, "dog"], "Received: 1, of the type int, at position 1.*quotes"),
    "a bool": (["cat", False, "dog"], "False, of the type bool, at position 1.*quotes"),
    "null": (["cat", "dog", None], "None, of the type NoneType, at position 2"),
    "bytes": (["cat", b"dog", "cow"], "b'dog', of the type bytes"),
    "empty": (["cat", "", "dog"], "aren't empty.*'' at position 1"),
    "blank": (["cat", " \t", "dog"], r"aren't empty.*' \\t' at position 1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_refused(kind):
    names, message = WRONG[kind]
    with pytest.raises(ValueError, match=f"`class_names` must.*{message.removeprefix('must')}"):
        check_class_names(names)


def test_what_is_right_is_returned():
    assert check_class_names(None, 3) is None
    for names in (["no", "1"], ("no", "1 "), np.array([" no", "1"]), iter(["no", "1"])):
        found = check_class_names(names, 2)
        assert found == ("no", "1")
        assert {type(name) for name in found} == {str}
    with pytest.raises(ValueError, match=r"for each of 3 classes\. Received: 2 names"):
        check_class_names(["a", "b"], 3)


@pytest.mark.parametrize("kind", ["a str", "repeated", "an int", "null", "empty"])
def test_doors_of_names(kind):
    names = WRONG[kind][0]
    objects = {"boxes": [[0, 0, 1, 1]], "classes": [0]}
    for enter in (
        lambda: COCOMetrics("xyxy", num_classes=3, class_names=names),
        lambda: drawn_objects(objects, "xyxy", (9, 9), names),
    ):
        with pytest.raises(ValueError, match="`class_names` must"):
            enter()


def test_names_of_files_are_repaired(caplog):
    assert repaired_class_names(["a", "b"], "file") == ("a", "b")
    assert not caplog.records
    names = ["cat", "cat ", None, "", 7, "cat", "class 2", "cat (class 1)"]
    found = repaired_class_names(names, "file")
    assert found == (
        "cat",
        "cat (class 1)",
        "class 2",
        "class 3",
        "7",
        "cat (class 5)",
        "class 2 (class 6)",
        "cat (class 1) (class 7)",
    )
    assert check_class_names(found) == found
    (record,) = caplog.records
    assert "Class names of file" in record.getMessage()
    assert "None is now 'class 2'" in record.getMessage()
    assert repaired_class_names(None, "file") is None
