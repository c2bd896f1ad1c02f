"""How Sphinx builds the documentation: the pages beside this file, and the docstrings they name."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import sphinx.util.inspect
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

project = "autopipe"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# What stands in single backticks in a docstring leads to what is documented under that name.
default_role = "name"
# So does a type in a signature, and one of ours has to be documented.
nitpicky = True
nitpick_ignore_regex = [("name", ".*"), ("py:.*", r"(?!autopipe).*|.*\.(_\w+|Pixels)")]

myst_enable_extensions = ["alert", "attrs_inline"]
myst_heading_anchors = 4

napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_param = False
napoleon_use_rtype = False
autodoc_default_options = {
    "members": True,
    "special-members": "__call__",
    "member-order": "bysource",
    "show-inheritance": True,
}
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "autopipe"
html_copy_source = False

LISTED = re.compile(r"^```\{api\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of a page that lists what the reference documents there: dotted names, one a line.

Lines that begin with a colon are options of autodoc, for all names of the block.
"""


def listed(page: str) -> list[str]:
    """The names that a page lists."""
    lines = "\n".join(LISTED.findall(page)).splitlines()
    return [line for line in lines if line and not line.startswith(":")]


def load(name: str) -> Any:
    """The object with a dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


DOCUMENTED = {
    id(load(name))
    for page in Path(__file__).parent.rglob("*.md")
    for name in listed(page.read_text(encoding="utf-8"))
}


def _expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the names of files above their code, and documentation in the place of listed names."""
    titled = r'^```(\w+) title="([^"]+)"$'
    text = re.sub(titled, r"```{code-block} \1\n:caption: \2\n", source[0], flags=re.MULTILINE)
    source[0] = LISTED.sub(_reference, text)


def _reference(block: re.Match[str]) -> str:
    """The names in a block with a sentence each, then the docstrings of all."""
    options = "".join(f"   {line}\n" for line in block[1].splitlines() if line.startswith(":"))
    values = {name: load(name) for name in listed(block[0])}
    summary = [f"- :py:obj:`~{name}`: {_sentence(value)}" for name, value in values.items()]
    entries = [f".. auto{_kind(value)}:: {name}\n{options}" for name, value in values.items()]
    return "\n".join(["```{eval-rst}", *summary, "", *entries, "```"])


def _sentence(value: object) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


def _kind(value: object) -> str:
    """What autodoc calls that kind of object."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) else "data"


def _of_constructor(
    app: Sphinx, what: str, name: str, cls: Any, options: object, signature: str, returns: str
) -> tuple[str, str] | None:
    """The signature of a class's constructor, where `__new__` takes whatever it is given."""
    if what == "class" and signature == "(*args: Any, **kwargs: Any)":
        found = sphinx.util.inspect.signature(cls.__init__, bound_method=True)
        return sphinx.util.inspect.stringify_signature(found, unqualified_typehints=True), ""
    return None


def _keep_documented(
    app: Sphinx, name: str, cls: type, options: object, bases: list[type | str]
) -> None:
    """Leave out of the line "Bases" what has no documentation of its own."""
    bases[:] = [base for base in bases if id(base) in DOCUMENTED] or [object]


def _find(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.Element | None:
    """Where a name leads that is the end of one documented name, and of no second one.

    Types of signatures are named by the module that defines them, which need not be where the
    documentation has them; and what stands in backticks may be anything.
    """
    domain, target = env.domains.python_domain, node["reftarget"]
    last = target.rpartition(".")[2]
    scope = node.get("py:module"), node.get("py:class")
    found = domain.find_obj(env, *scope, target, None, 0) if node["reftype"] == "name" else []
    if not found and target != last:
        found = [(n, entry) for n, entry in domain.objects.items() if n.endswith(f".{target}")]
    if not found:
        found = [
            (name, entry)
            for name, entry in domain.objects.items()
            if name.endswith(f".{last}") and entry.objtype in ("class", "exception", "function")
        ]
    if len(found) != 1:
        return None
    (name, entry), here = found[0], node["refdoc"]
    return make_refnode(app.builder, here, entry.docname, entry.node_id, text, name)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_role("name", PyXRefRole())
    app.connect("source-read", _expand)
    app.connect("autodoc-process-signature", _of_constructor)
    app.connect("autodoc-process-bases", _keep_documented)
    app.connect("missing-reference", _find)
