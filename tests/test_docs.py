"""The documentation is complete, and the tutorial shows the tested example."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import autopipe.errors
from autopipe.cli.parser import build
from autopipe.errors import AutopipeError
from autopipe.hooks import Hooks
from autopipe.manifest import Manifest
from autopipe.registry import Registry, default_registry
from autopipe.resolution.discovery import Installed
from autopipe.resolution.flaws import ENTRIES
from autopipe.resolution.own import OWN
from autopipe.tasks import Input, Task
from autopipe_devkit.conformance import Conformance
from autopipe_devkit.conformance.checks import (
    OF_A_FAMILY,
    OF_A_MEMBER,
    OF_A_STAGE,
    OF_A_TASK,
)
from autopipe_devkit.conformance.checks.engines import OF_AN_ENGINE
from autopipe_devkit.scaffold import EXAMPLE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return the text under a second-level heading."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text(page), re.M | re.S)
    assert found is not None, f"{page} has no section {heading!r}"
    return found[1]


def test_every_plugin_has_a_row_in_the_readme_and_every_family_a_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for manifest in ROOT.glob("plugins/*/src/*/family.py"):
        dist = manifest.parents[2].name
        assert f"](plugins/{dist}) |" in readme
        if default_registry().families[dist].pipelines:
            page = text(f"families/{dist}.md")
            assert page.partition("\n")[0].endswith(f"](../../plugins/{dist}/README.md)")
            assert f"](../api/{dist}.md)" in page


@pytest.mark.parametrize("name", [n for n in vars(Hooks) if n.startswith("autopipe_")])
def test_every_hook_has_a_heading_with_its_signature(name: str) -> None:
    signature = inspect.signature(getattr(Hooks, name))
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    exact = str(signature.replace(parameters=parameters)).replace("'", "")
    section("hooks.md", f"`{name}{exact}`")


@pytest.mark.parametrize("entry", [Manifest, Input, *ENTRIES.values()])
def test_every_field_of_the_manifest_is_told(entry: type) -> None:
    told = re.findall(r"^\| `(\w+)` \|", section("manifest.md", entry.__name__), re.M)
    names = [n for n in Task.__annotations__ if n.islower()] if entry is Task else None
    assert told == (names or [field.name for field in fields(entry)])


def test_every_extension_point_is_in_the_table() -> None:
    told = section("manifest.md", "Extension points")
    assert [field for field in ENTRIES if f"[`{field}`]" not in told and field != "exports"] == []


def test_every_check_is_told() -> None:
    checks = {**OF_A_FAMILY, **OF_A_MEMBER, **OF_A_STAGE, **OF_A_TASK}
    told = re.findall(r"^\| `(\w+)` \| [A-Z`]", text("conformance.md"), re.M)
    assert sorted(told) == sorted([*checks, *OF_AN_ENGINE])
    for check in (*checks.values(), *OF_AN_ENGINE.values()):
        assert " ".join((check.__doc__ or "").split()) in text("conformance.md")


def test_all_that_the_kit_can_be_told_is_told() -> None:
    public = {
        n for n in {**vars(Conformance), **Conformance.__annotations__} if not n.startswith("_")
    }
    told = section("conformance.md", "What it can be told")
    methods = {n for n in public if n.startswith(("test_", "pytest_"))}
    assert [name for name in public - methods if f"| `{name}" not in told] == []


def words_of(command: str, installed: list[Installed]) -> set[str]:
    """Return the arguments and options of a command if only `installed` is installed."""
    target = default_registry().entry("command", command).target
    declared_in = importlib.import_module(target.partition(":")[0])
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(declared_in, "default_registry"):
            patch.setattr(declared_in, "default_registry", lambda: Registry(installed))
        return declared(command)


def declared(command: str) -> set[str]:
    chooser = next(action for action in build([command])._actions if action.choices)
    return {
        name
        for action in chooser.choices[command]._actions
        if action.dest not in ("help", "traceback")
        for name in action.option_strings or [action.metavar]
    }


@pytest.mark.parametrize("command", [command.name for command in OWN.manifest.commands])
def test_every_option_of_the_command_line_is_told(command: str) -> None:
    told = section("command-line.md", command)
    assert [name for name in words_of(command, []) if f"`{name}`" not in told] == []


OURS = [
    pytest.param(one, id=one.manifest.name)
    for one in default_registry().installed
    if (ROOT / "plugins" / one.manifest.name).is_dir()
]


@pytest.mark.parametrize("plugin", OURS)
def test_what_a_plugin_adds_to_the_command_line_is_told_in_its_readme(plugin: Installed) -> None:
    told = (ROOT / "plugins" / plugin.manifest.name / "README.md").read_text(encoding="utf-8")
    for command in ("generate", "download"):
        added = words_of(command, [plugin]) - words_of(command, [])
        assert [name for name in added if name not in told] == []
    for own in plugin.manifest.commands:
        assert f"autopipe {own.name}" in told
        about = section("command-line.md", own.name)
        assert [name for name in words_of(own.name, []) if f"`{name}`" not in about] == []


ERRORS = [
    kind
    for kind in vars(autopipe.errors).values()
    if isinstance(kind, type) and issubclass(kind, AutopipeError)
]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_told_with_what_it_is(kind: type) -> None:
    row = next((r for r in text("errors.md").splitlines() if f"| `{kind.__name__}` |" in r), None)
    assert row is not None, f"{kind.__name__} is not in errors.md"
    assert [f"`{base.__name__}`" for base in kind.__bases__] == row.split(" | ")[1].split(", ")


def test_what_programs_take_from_diffusers_is_as_the_table_says() -> None:
    sections = (
        ("What programs import", autopipe, "| name | here |"),
        ("What programs call", autopipe.StableDiffusionPipeline, "| method of a pipeline | here |"),
    )
    for heading, holder, title in sections:
        table = section("from-diffusers.md", heading).split(title)[1].partition("\n\n")[0]
        for left, here in re.findall(r"^\| (`.*?) \| (.*?) \|$", table, re.M):
            is_there = here.startswith(("the same", "accepted"))
            for name in re.findall(r"`(\w+)`", left):
                assert hasattr(holder, name) is is_there, f"{name}: {here}"


def test_imports_of_the_table_from_diffusers_work() -> None:
    told = section("from-diffusers.md", "What programs import")
    for line in re.findall(r"\| `((?:from|import) [^`]*)` \|$", told, re.M):
        exec(line, {})


def test_every_variable_of_the_environment_is_told() -> None:
    sources = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("*/src/**/*.py"))
    sources += "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("plugins/*/src/**/*.py"))
    names = set(re.findall(r"\bAUTOPIPE_[A-Z_]+\b", sources))
    assert "AUTOPIPE_STRICT" in names
    told = "".join(text(page) for page in ("plugins.md", "loading.md", "memory.md"))
    assert [name for name in sorted(names) if f"`{name}" not in told] == []


def test_every_page_is_in_the_contents_once() -> None:
    linked = re.findall(r"\]\((.+\.md)\)", text("contents.md"))
    assert sorted([*linked, "contents.md"]) == [p.relative_to(DOCS).as_posix() for p in PAGES]


EXCERPTS = [
    (page.name, title, block)
    for page in PAGES
    for title, block in re.findall(
        r'^```\w+ title="([^"]+)"\n(.*?)^```', page.read_text(encoding="utf-8"), re.M | re.S
    )
]


@pytest.mark.parametrize(("page", "title", "block"), EXCERPTS)
def test_code_with_the_name_of_a_file_is_an_excerpt_of_the_example(
    page: str, title: str, block: str
) -> None:
    assert block in (EXAMPLE / title).read_text(encoding="utf-8")


def test_the_tutorial_shows_every_kind_of_file() -> None:
    shown = {title for page, title, _ in EXCERPTS if page == "publish-a-family.md"}
    assert {"pyproject.toml", "tests/test_conformance.py"} <= shown
    assert {f"src/autopipe_doodle/{n}.py" for n in ("family", "network", "steps")} <= shown
