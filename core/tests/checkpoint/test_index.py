from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.public import CHECKPOINTS

from autopipe.checkpoint.index import INDEX_NAME, parse_index, read_index
from autopipe.errors import (
    AutopipeError,
    CheckpointError,
    ConfigError,
    UnsafeCheckpointError,
)

FILE = Path("checkpoint") / INDEX_NAME


def test_components_and_options_are_told_apart() -> None:
    index = parse_index(
        {
            "_class_name": "P",
            "_diffusers_version": "0.6.0",
            "unet": ["diffusers", "UNet2DConditionModel"],
            "safety_checker": [None, None],
            "add_watermarker": None,
            "requires_safety_checker": False,
            "sizes": [1, 2],
        },
        FILE,
    )
    assert index.class_name == "P"
    assert dict(index.components) == {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "safety_checker": None,
    }
    assert dict(index.options) == {
        "add_watermarker": None,
        "requires_safety_checker": False,
        "sizes": [1, 2],
    }
    assert index.folder == Path("checkpoint")


@pytest.mark.parametrize("class_name", [None, 3, "", "a b", {"x": 1}])
def test_the_class_name_is_a_name(class_name: Any) -> None:
    with pytest.raises(ConfigError, match="_class_name"):
        parse_index({"_class_name": class_name}, FILE)


@pytest.mark.parametrize(
    "content",
    [
        {"_class_name": ["my_code", "MyPipeline"]},
        {"_class_name": "P", "../unet": ["diffusers", "X"]},
        {"_class_name": "P", "/etc": ["diffusers", "X"]},
        {"_class_name": "P", "unet": ["os.path; import os", "X"]},
        {"_class_name": "P", "unet": ["diffusers", "X()"]},
        {"_class_name": "P", "unet": ["../x", "X"]},
    ],
)
def test_code_and_paths_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises(UnsafeCheckpointError, match=INDEX_NAME):
        parse_index(content, FILE)


def test_half_a_pair_is_an_error() -> None:
    with pytest.raises(ConfigError, match="unet"):
        parse_index({"_class_name": "P", "unet": [None, "X"]}, FILE)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00", '{"_class_name": ' + "[" * 100_000])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX_NAME).write_text(text)
    with pytest.raises(ConfigError, match=INDEX_NAME):
        read_index(tmp_path)


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    (tmp_path / INDEX_NAME).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=INDEX_NAME):
        read_index(tmp_path)


def test_what_the_folder_is_instead_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder"):
        read_index(tmp_path / "absent")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / INDEX_NAME).write_text("{}")
    with pytest.raises(CheckpointError, match=r"did you mean .*inner"):
        read_index(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="single network"):
        read_index(tmp_path)


def test_public_checkpoints_have_valid_indices() -> None:
    files = sorted(CHECKPOINTS.glob(f"*/{INDEX_NAME}"))
    assert files
    for file in files:
        index = read_index(file.parent)
        assert index.class_name == json.loads(file.read_text())["_class_name"]
        assert index.components["unet" if "prior" not in file.parent.name else "prior"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["_class_name", "unet", "..", "x/y", "a"]), JSON))
def test_nothing_but_typed_errors_comes_out(content: dict[str, Any]) -> None:
    try:
        index = parse_index(content, FILE)
    except AutopipeError:
        return
    for name, pair in index.components.items():
        assert "/" not in name
        assert pair is None or all(isinstance(part, str) for part in pair)
