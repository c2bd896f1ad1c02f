"""One is uninstalled: the others go on, and nothing of it is left."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest
from conftest import NAMES, Run, install_only

INSTALLED = NAMES

SITE = Path(sysconfig.get_path("purelib"))


def left_of(name: str) -> list[str]:
    return [path.name for path in SITE.iterdir() if path.name.startswith(f"autopipe_{name}")]


@pytest.fixture(scope="module")
def without_inks(installed: None) -> None:
    assert left_of("inks")
    install_only({*NAMES} - {"inks"})


@pytest.fixture(scope="module")
def without_shapes(without_inks: None) -> None:
    assert left_of("shapes")
    install_only({*NAMES} - {"inks", "shapes"})


@pytest.mark.usefixtures("without_inks")
def test_without_add_ons_condition_and_commands(autopipe: Run, tmp_path: Path) -> None:
    assert left_of("inks") == []
    assert "inks" not in autopipe("families", "--json")
    assert "greet" not in autopipe("--help")
    offered = autopipe("generate", "--help")
    assert not any(word in offered for word in ("--sketch", "--keep-every", "low_rank"))
    refused = autopipe("generate", "a hut", "--attach", "low_rank", code=2)
    assert "no add-on 'low_rank'" in refused
    # The others stay as they were: two of them in conflict, and what is not in question works.
    subjects = [f["subject"] for f in json.loads(autopipe("doctor", "--json", code=1))["findings"]]
    assert len(subjects) == 3
    assert all("rival" in subject for subject in subjects)
    drawn = tmp_path / "drawn.png"
    prefer = {"AUTOPIPE_PREFER": "autopipe-shapes"}
    autopipe("generate", "--model", "demo:shapes", "-o", drawn, **prefer)
    assert drawn.is_file()


@pytest.mark.usefixtures("without_shapes")
def test_without_one_of_two_rivals_the_other_has_the_names(
    autopipe: Run, python: Run, suite: Run, tmp_path: Path
) -> None:
    assert left_of("shapes") == []
    assert json.loads(autopipe("doctor", "--json"))["findings"] == []
    suite("rival")
    code = "import autopipe; print(autopipe.ShapesNetwork(), *autopipe.Task)"
    told = python(code).split()
    assert told[:2] == ["the", "rival's"]
    assert {"unconditional", "text2video"} <= set(told)
    assert "edit" not in told
    missing = python("import autopipe; autopipe.AutoPipelineForEditing", code=1)
    assert "AutoPipelineForEditing" in missing
    assert "there is no checkpoint" in autopipe("resolve", "demo:shapes", code=2).lower()
    clip = tmp_path / "clip.gif"
    autopipe("generate", "a dog runs", "--model", "demo:clips", "-o", clip)
    assert clip.is_file()
