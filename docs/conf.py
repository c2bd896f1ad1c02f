"""How Sphinx builds the documentation: the pages beside this file, and the docstrings they name."""

from __future__ import annotations

import importlib
import inspect
import re

from sphinx.application import Sphinx

project = "autopipe"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# What stands in single backticks in a docstring leads to what is documented under that name.
default_role = "py:obj"

myst_enable_extensions = ["alert", "attrs_inline"]
myst_heading_anchors = 4

napoleon_numpy_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
autodoc_default_options = {
    "members": True,
    "special-members": "__call__",
    "member-order": "bysource",
    "show-inheritance": True,
}
autodoc_typehints = "none"
autosummary_generate = False
add_module_names = False
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "autopipe"
html_copy_source = False


def _expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the names of files above their code, and documentation in the place of listed names."""
    titled = r'^```(\w+) title="([^"]+)"$'
    text = re.sub(titled, r"```{code-block} \1\n:caption: \2\n", source[0], flags=re.M)
    listed = r"^```\{api\}\n(.*?)^```$"
    source[0] = re.sub(listed, lambda found: _reference(found[1]), text, flags=re.M | re.S)


def _reference(block: str) -> str:
    """A table of the names that `block` lists one a line, then the docstrings of each.

    Lines that begin with a colon are options of autodoc, for all of them.
    """
    lines = block.split("\n")
    options = "".join(f"   {line}\n" for line in lines if line.startswith(":"))
    names = [line for line in lines if line and not line.startswith(":")]
    table = ".. autosummary::\n   :nosignatures:\n\n" + "".join(f"   {name}\n" for name in names)
    entries = [f".. auto{_kind(name)}:: {name}\n{options}" for name in names]
    return "\n".join(["```{eval-rst}", table, *entries, "```"])


def _kind(name: str) -> str:
    """What autodoc calls the kind of object that `name` is."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) else "data"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _expand)
