"""The Python and the commands in the documents run, and their links are valid."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from autopipe.cli import main
from autopipe.cli.parser import commands

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "changes/README.md",
    ROOT / "core/README.md",
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
each_document = pytest.mark.parametrize(
    "document", [pytest.param(d, id=d.relative_to(ROOT).as_posix()) for d in DOCUMENTS]
)


PICTURES = SimpleNamespace(**runpy.run_path(str(ROOT / "docs/pictures.py")))


@each_document
def test_its_python_runs_and_draws_its_pictures(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    left = PICTURES.run(document)
    stale = sorted(PICTURES.stale(document, left))
    assert stale == [], f"no longer what the page draws; run: python docs/pictures.py {document}"


def test_every_picture_is_drawn_by_one_page_and_shown() -> None:
    drawn = [f"{name}.png" for document in DOCUMENTS for name in PICTURES.drawn_by(document)]
    there = [file.name for file in PICTURES.PICTURES.iterdir()]
    # Those of the page of `autopipe ui` are taken by tools/screenshots.py.
    taken = re.findall(r'"(page-[\w-]+\.png)"', (ROOT / "tools/screenshots.py").read_text("utf-8"))
    assert sorted([*drawn, *taken]) == sorted(there)
    pages = "".join(file.read_text("utf-8") for file in (ROOT / "docs").rglob("*.md"))
    assert [one for one in taken if one not in pages] == []


@each_document
def test_its_commands_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks marked `sh` are skipped, since they need a network or a fresh environment.
    monkeypatch.chdir(tmp_path)
    lines = [line for block in PICTURES.blocks(document, "") for line in block.splitlines()]
    for line in lines:
        if line.startswith("autopipe "):
            assert main(shlex.split(line)[1:]) == 0, line


def anchors(document: Path) -> set[str]:
    """Return the anchors that forges generate for the headings of `document`."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@each_document
def test_its_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if re.match(r"\w+:", target):
            assert re.fullmatch(r"https?://([\w-]+\.)+[a-z]+(:\d+)?(/\S*)?|mailto:\S+", target), (
                target
            )
            continue
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"autopipe {name}" not in text] == []


def test_the_readme_sets_up_by_two_commands() -> None:
    set_up = (ROOT / "README.md").read_text(encoding="utf-8").split("## Set up")[1].split("##")[0]
    assert [line for block in re.findall(r"```\n(.*?)```", set_up, re.DOTALL)
            for line in block.splitlines()] == [
        f"python -m pip install nox && python -m nox -s {session}" for session in ("demo", "tests")
    ]  # fmt: skip
