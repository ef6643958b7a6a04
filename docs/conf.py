"""Sphinx: pages of the guides, and of the API from the docstrings."""

import inspect
import re

project = "keras_detr"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = "keras_detr"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["style"]
html_css_files = ["tables.css"]

# What stands in single backticks in a docstring is code; where it names something, a link.
default_role = "py:obj"
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Call arguments", "params_style")]
myst_heading_anchors = 3

_FENCE = re.compile(r"^(\s*)```python$")
# What a comment in a docstring says to the tests.
_COMMENT = re.compile(r"^\s*<!--.*-->$")

# What a family of detectors says about its checkpoints for the loading code, and the table of
# presets, which the README has in a form to read.
_INTERNAL = re.compile(
    r"backbone_class|checkpoint_\w+|fit_checkpoint|hub_model_type|in_transformers|override_config|"
    r"presets"
)
_OTHERS = ("keras.", "keras_cv.", "tensorflow.")


def _skip(app, what, name, obj, skip, options):
    """Leave out what is public to the package only, and what Keras documents itself.

    `None` leaves the decision to others.
    """
    home = getattr(getattr(obj, "fget", obj), "__module__", None) or ""
    return True if _INTERNAL.fullmatch(name) or home.startswith(_OTHERS) else None


def _signature(app, what, name, obj, options, signature, return_annotation):
    """Show a class with its constructor's arguments: Keras' classes have a `__new__` of any."""
    if what != "class" or obj.__init__ is object.__init__:
        return None
    _, *parameters = inspect.signature(obj.__init__).parameters.values()
    return str(inspect.Signature(parameters)), return_annotation


def _fences_to_blocks(app, what, name, obj, options, lines):
    """Turn the Markdown of docstrings, fenced code, into what Sphinx reads."""
    result, margin = [], None
    for line in lines:
        if _COMMENT.match(line):
            continue
        opening = _FENCE.match(line)
        if opening:
            margin = opening[1]
            result += ["", f"{margin}.. code-block:: python", ""]
        elif margin is not None and line.strip() == "```":
            margin = None
            result.append("")
        else:
            result.append(line if margin is None or not line else f"   {line}")
    lines[:] = result


def setup(app):
    """Read signatures and docstrings, and their Markdown before napoleon reads their sections."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _fences_to_blocks, priority=400)
