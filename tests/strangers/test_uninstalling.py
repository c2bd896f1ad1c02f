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
def without_shapes(installed: None) -> None:
    assert left_of("shapes")
    install_only({*NAMES} - {"shapes"})


@pytest.fixture(scope="module")
def without_inks(without_shapes: None) -> None:
    assert left_of("inks")
    install_only({*NAMES} - {"shapes", "inks"})


@pytest.mark.usefixtures("without_shapes")
def test_without_one_of_two_rivals_the_other_has_the_names(
    autopipe: Run, python: Run, suite: Run, tmp_path: Path
) -> None:
    assert left_of("shapes") == []
    assert json.loads(autopipe("doctor", "--json"))["findings"] == []
    suite("rival")
    told = python("import autopipe; print(autopipe.ShapesNetwork(), *autopipe.Task)").split()
    assert told[:2] == ["the", "rival's"]
    assert {"unconditional", "text2video"} <= set(told)
    assert "edit" not in told
    missing = python("import autopipe; autopipe.AutoPipelineForEditing", code=1)
    assert "AutoPipelineForEditing" in missing
    assert "demo:shapes" in autopipe("resolve", "demo:shapes", code=2)
    clip = tmp_path / "clip.gif"
    autopipe("generate", "a dog runs", "--model", "demo:clips", "-o", clip)
    assert clip.is_file()


@pytest.mark.usefixtures("without_shapes")
def test_what_adds_to_a_line_that_is_gone_goes_on_with_the_rest(
    autopipe: Run, suite: Run, tmp_path: Path
) -> None:
    suite("inks")
    drawn = tmp_path / "drawn.png"
    autopipe("generate", "a hut", "--steps", "2", "--attach", "low_rank", "-o", drawn)
    assert drawn.is_file()
    refused = autopipe("generate", "--model", "demo:rival", "--sketch", "demo", code=2)
    assert "sketch" in refused


@pytest.mark.usefixtures("without_inks")
def test_add_ons_condition_and_commands_are_gone(autopipe: Run) -> None:
    assert left_of("inks") == []
    assert json.loads(autopipe("doctor", "--json"))["findings"] == []
    assert "inks" not in autopipe("families", "--json")
    assert "greet" not in autopipe("--help")
    offered = autopipe("generate", "--help")
    assert not any(word in offered for word in ("--sketch", "--keep-every", "low_rank"))
    refused = autopipe("generate", "a hut", "--attach", "low_rank", code=2)
    assert "no add-on 'low_rank'" in refused
    assert "unconditional" in autopipe("families")
