"""What mypy and pyright say of the programs of documents, examples and the scaffold, and of cases.

In `cases/`, the lines that end in `# flagged` are wrong, and all others are right.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.checkers import CHECKERS, Found

from autopipe_devkit.scaffold import EXAMPLE

ROOT = Path(__file__).parents[2]
PICTURES = SimpleNamespace(**runpy.run_path(str(ROOT / "docs/pictures.py")))

DOCUMENTS = {
    re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix()) + ".py": program
    for page in [
        ROOT / "README.md",
        *ROOT.glob("core/*.md"),
        *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob("docs/**/*.md"),
    ]
    if (program := PICTURES.program(page)).strip()
}
"""By a name for the module: what the page shows, each line where it stands in the page."""

FILES = {
    f"{folder}/{file.relative_to(source).as_posix()}": file
    for folder, source in {
        "cases": Path(__file__).parent / "cases",
        "examples": ROOT / "examples",
        "scaffold": EXAMPLE,
    }.items()
    for file in sorted(source.rglob("*.py"))
}
CASES = [name for name in FILES if name.startswith("cases/")]
each_checker = pytest.mark.parametrize("checker", CHECKERS)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, file in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    return folder


@pytest.fixture(scope="module")
def answers(programs: Path) -> dict[str, Found]:
    paths = [str(programs / "scaffold/src"), str(programs / "examples")]
    mypy_path = [*paths, *filter(None, [os.environ.get("MYPYPATH")])]
    return {
        "mypy": CHECKERS["mypy"](programs, os.pathsep.join(mypy_path)),
        "pyright": CHECKERS["pyright"](programs, os.pathsep.join(paths)),
    }


@each_checker
@pytest.mark.parametrize("name", [name for name in (*DOCUMENTS, *FILES) if name not in CASES])
def test_a_program_that_works_is_not_flagged(
    answers: dict[str, Found], checker: str, name: str
) -> None:
    assert answers[checker].get(name, {}) == {}


@each_checker
@pytest.mark.parametrize("name", CASES)
def test_the_wrong_lines_of_a_case_are_flagged_and_no_others(
    answers: dict[str, Found], checker: str, name: str
) -> None:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# flagged")}
    assert wrong
    said = answers[checker].get(name, {})
    assert {n: said.get(n) for n in wrong ^ said.keys()} == {}
