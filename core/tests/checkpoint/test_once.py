"""Loading reads every file once: what was read travels on."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.auto import AutoPipelineForText2Image

from .conftest import TinyNet, TinyPipeline

_watched: list[Counter[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], (str, Path)):
        _watched[-1][str(arguments[0])] += 1


@pytest.fixture(scope="module", autouse=True)
def hook() -> None:
    """There is no way to take an audit hook away."""
    sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[Counter[str]]:
    """How often each file is opened from here on."""
    _watched.append(Counter())
    yield _watched[-1]
    _watched.pop()


def within(folder: Path, opened: Counter[str]) -> dict[str, int]:
    return {
        Path(path).relative_to(folder).as_posix(): count
        for path, count in opened.items()
        if Path(path).is_relative_to(folder)
    }


def assert_opened_once(found: dict[str, int]) -> None:
    """Weights are opened for their header, and for their tensors."""
    for path, count in found.items():
        assert count == (2 if path.endswith(".safetensors") else 1), path


@pytest.mark.parametrize("cls", [TinyPipeline, AutoPipelineForText2Image])
def test_index_configs_and_headers_are_opened_once(
    saved: Path, opened: Counter[str], cls: Any
) -> None:
    opened.clear()
    cls.from_pretrained(saved)
    found = within(saved, opened)
    assert set(found) == {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    assert_opened_once(found)


def test_a_cast_reads_the_header_once_and_the_tensors_once(
    saved: Path, opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.clear()
    TinyPipeline.from_pretrained(saved, torch_dtype=torch.float16)
    assert_opened_once(within(saved, opened))


def test_nor_more_often_with_a_variant_shards_or_initial_values(
    tmp_path: Path, opened: Counter[str]
) -> None:
    TinyNet(depth=4).save_pretrained(tmp_path / "net", variant="fp16", max_shard_size=100)
    opened.clear()
    TinyNet.from_pretrained(tmp_path / "net", variant="fp16", low_cpu_mem_usage=False)
    found = within(tmp_path / "net", opened)
    assert len(found) > 4
    assert_opened_once(found)
