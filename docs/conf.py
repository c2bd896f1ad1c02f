"""The Sphinx configuration: builds the pages in this folder and the docstrings they name."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
from pathlib import Path
from typing import Any, get_origin

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.inspect import stringify_signature
from sphinx.util.nodes import make_refnode

project = "autopipe"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# Text in single backticks in a docstring links to the object that is documented by that name.
default_role = "name"
# So do types in signatures. Types of autopipe must be documented.
nitpicky = True
nitpick_ignore_regex = [("name", ".*"), ("py:.*", r"(?!autopipe).*|.*\.(_\w+|Pixels)")]

myst_enable_extensions = ["alert", "attrs_inline"]
myst_heading_anchors = 4

napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_param = False
napoleon_use_rtype = False
autodoc_default_options = {"special-members": "__call__", "member-order": "bysource"}
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "autopipe"
html_logo = html_favicon = "logo.svg"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_show_copyright = False
html_copy_source = False

CONTENTS = Path(__file__).with_name("contents.md")
exclude_patterns = [CONTENTS.name]

LISTED = re.compile(r"^```\{api\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of a page that lists the objects to document there: dotted names, one per line.

Lines that begin with a colon are autodoc options for all names of the block.
"""


CAPTIONED = re.compile(r"^## (.+)\n\n((?:- \[.+\]\(.+\.md\)\n)+)", re.MULTILINE)
"""A part of the contents: a caption followed by links to pages."""


def listed(page: str) -> list[str]:
    """Return the names that a page lists."""
    lines = "\n".join(LISTED.findall(page)).splitlines()
    return [line for line in lines if line and not line.startswith(":")]


def load(name: str) -> Any:
    """Return the object with a dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


DOCUMENTED = {
    id(load(name))
    for page in Path(__file__).parent.rglob("*.md")
    for name in listed(page.read_text(encoding="utf-8"))
}


def _expand(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace titles of code blocks with captions, and listed names with their documentation.

    The start page gets the table of contents, which the theme shows beside every page.
    """
    if page == app.config.root_doc:
        app.env.note_dependency(str(CONTENTS))
        source[0] += _toctrees(CONTENTS.read_text(encoding="utf-8"))
    # A page that begins with a link to a README includes it.
    text = re.sub(r"\A\[.*\]\((.*/README\.md)\)\n", r"```{include} \1\n```\n", source[0])
    titled = r'^```(\w+) title="([^"]+)"$'
    text = re.sub(titled, r"```{code-block} \1\n:caption: \2\n", text, flags=re.MULTILINE)
    source[0] = LISTED.sub(_reference, text)


def _toctrees(contents: str) -> str:
    """Return the parts of the contents as Sphinx toctrees."""
    trees = []
    for caption, links in CAPTIONED.findall(contents):
        entries = re.sub(r"- \[(.+)\]\((.+)\.md\)", r"\1 <\2>", links)
        trees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}```\n")
    return "".join(trees)


def _reference(block: re.Match[str]) -> str:
    """Return the documentation of a block: a summary by module, then all docstrings."""
    given = [line for line in block[1].splitlines() if line.startswith(":")]
    values = {name: load(name) for name in listed(block[0])}
    summary = []
    for module, names in itertools.groupby(values, lambda name: name.rpartition(".")[0]):
        summary += ["", f"In ``{module}``:", ""]
        summary += [f"- :py:obj:`~{name}`: {_sentence(name)}" for name in names]
    entries = []
    for name, value in values.items():
        options = list(given)
        if inspect.isclass(value):
            options += [":members:"] * (not any(one.startswith(":members:") for one in given))
            options += [":show-inheritance:"] * any(map(_is_documented, value.__bases__))
        entries += [f".. auto{_kind(value)}:: {name}", *[f"   {one}" for one in options], ""]
    return "\n".join(["```{eval-rst}", *summary, "", *entries, "```"])


def _sentence(name: str) -> str:
    """Return the first paragraph of a docstring; that of a value follows it in its module."""
    module, _, attribute = name.rpartition(".")
    if _kind(value := load(name)) == "data":
        below = ModuleAnalyzer.for_module(module).find_attr_docs()
        text = "\n".join(below["", attribute])
    else:
        text = inspect.getdoc(value) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _kind(value: object) -> str:
    """Return the name of the autodoc directive for an object."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if inspect.isroutine(value) else "data"


def _of_constructor(
    app: Sphinx, what: str, name: str, cls: Any, options: object, signature: str, returns: str
) -> tuple[str, str] | None:
    """Return the signature of the constructor for a class whose `__new__` takes `*args`."""
    if what != "class" or not (signature or "").startswith("(*args"):
        return None
    _, *own = inspect.signature(cls.__init__).parameters.values()
    text = stringify_signature(inspect.Signature(own))
    return "" if text.startswith("(*args") else text, ""


def _is_documented(value: object) -> bool:
    return id(get_origin(value) or value) in DOCUMENTED


def _keep_documented(
    app: Sphinx, name: str, cls: type, options: object, bases: list[type | str]
) -> None:
    """Remove undocumented classes from the line "Bases"."""
    bases[:] = filter(_is_documented, bases)


def _find(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.Element | None:
    """Resolve a name that is the end of exactly one documented name.

    Types in signatures are named by the module that defines them, which may differ from the
    documented one, and text in backticks may be anything.
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
    """Register the extensions of this file; Sphinx calls this."""
    app.add_role("name", PyXRefRole())
    app.connect("source-read", _expand)
    app.connect("autodoc-process-signature", _of_constructor)
    app.connect("autodoc-process-bases", _keep_documented)
    app.connect("missing-reference", _find)
