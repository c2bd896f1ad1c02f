"""Adapters on the command line, with the demo that this package brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from autopipe.cli.parser import parse

from .conftest import needs

pytestmark = needs("stable_diffusion")


def drawn(to: Path, *arguments: str) -> np.ndarray:
    prompt = "a red circle on a white background"
    words = ["generate", prompt, "--steps", "12", "--seed", "1", "--output", str(to), *arguments]
    parsed = parse(words)
    assert parsed.run(parsed) == 0
    return np.asarray(Image.open(to), dtype=float)


@pytest.fixture
def outline(tmp_path: Path) -> str:
    made = Image.new("L", (64, 64))
    ImageDraw.Draw(made).ellipse((6, 6, 30, 30), outline="white")
    made.save(tmp_path / "outline.png")
    return str(tmp_path / "outline.png")


@pytest.mark.parametrize(
    "way", [["--adapter", "demo"], ["--attach", "t2i_adapter=demo:t2i_adapter"]]
)
def test_the_demo_follows_an_outline(
    tmp_path: Path, outline: str, way: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = drawn(tmp_path / "out.png", *way, "--adapter-image", outline)
    blueness = 255 - found[..., 2]
    rows, columns = np.nonzero(blueness > 100)
    # The circle is drawn about the centre of the outline, (18, 18), to within a few pixels.
    assert abs(rows.mean() - 18) < 6
    assert abs(columns.mean() - 18) < 6
    off = drawn(tmp_path / "off.png", *way, "--adapter-image", outline, "--adapter-scale", "0")
    assert np.abs(off - found).mean() > 5
