from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.odd import JSON, refusal, says
from transformers import CLIPImageProcessor

from autopipe.checkpoint.foreign.entries import ImageEntries
from autopipe.checkpoint.foreign.processors import load_processor
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import ConfigError

CONFIG = "preprocessor_config.json"
FURTHER = {
    "large sides": {"height": 16000, "width": 16000},
    "a large side": 16000,
    "a negative side": {"shortest_edge": -1},
    "no side": {"shortest_edge": 0},
    "half a size": {"height": 4},
    "another name": {"longest_edge": 9},
    "two numbers": [0.5, 0.5],
    "four numbers": [0.5] * 4,
    "zeros": [0, 0, 0],
    "numbers that are none": [float("nan")] * 3,
    "99": 99,
}
OTHERS = ("data_format", "input_data_format", "device", "return_tensors", "crop_pct", "note")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=8).save_pretrained(tmp_path / "images")
    return tmp_path / "images"


def load(folder: Path) -> Any:
    return load_processor(CLIPImageProcessor, LocalSource(folder.parent), (folder.name,))


def see(processor: Any) -> Any:
    seen = processor(Image.new("RGB", (20, 30), (9, 8, 7)), return_tensors="np").pixel_values
    assert np.isfinite(seen).all()
    return seen


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_size", {"height": 16000, "width": 16000}),
        ("size", {"shortest_edge": -1}),
        ("size", {"longest_edge": 8}),
        ("image_mean", [0.5, 0.5]),
        ("image_std", [0.5, 0.0, 0.5]),
        ("do_resize", "x"),
        ("rescale_factor", float("nan")),
        ("resample", 99),
    ],
)
def test_an_entry_that_makes_no_sense_is_named(
    folder: Path, edit: Callable[..., None], name: str, value: Any
) -> None:
    edit(folder / CONFIG, **{name: value})
    with pytest.raises(ConfigError, match=f"'{name}' in .* must be") as caught:
        load(folder)
    assert str(folder / CONFIG) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 9),
        ("size", {"height": 9, "width": 9}),
        ("size", {"shortest_edge": 9, "longest_edge": 20}),
        ("crop_size", 9),
        ("crop_size", [9, 9]),
        ("image_mean", 0.5),
        ("rescale_factor", 1),
        ("do_normalize", None),
    ],
)
def test_what_transformers_takes_is_taken(
    folder: Path, edit: Callable[..., None], name: str, value: Any
) -> None:
    edit(folder / CONFIG, **{name: value})
    assert np.array_equal(see(load(folder)), see(CLIPImageProcessor.from_pretrained(folder)))


@pytest.mark.parametrize("name", [*ImageEntries.model_fields, *OTHERS])
def test_every_entry_with_every_value_works_or_is_named(folder: Path, name: str) -> None:
    original = json.loads((folder / CONFIG).read_text())
    for value in (*JSON.values(), *FURTHER.values()):
        (folder / CONFIG).write_text(json.dumps({**original, name: value}))
        error = refusal(lambda: see(load(folder)))
        assert error is None or says(error, CONFIG, name)
