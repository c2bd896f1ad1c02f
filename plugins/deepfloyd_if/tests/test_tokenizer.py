from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import T5Tokenizer

from autopipe.checkpoint.foreign.processors import load_processor
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import DamagedFileError


@pytest.fixture
def folder(tokenizer: Any, tmp_path: Path) -> Path:
    shutil.copytree(tokenizer.name_or_path, tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def load(folder: Path) -> Any:
    return load_processor(T5Tokenizer, LocalSource(folder.parent), (folder.name,))


def test_a_model_of_sentencepiece_is_read(folder: Path) -> None:
    assert load(folder)("a red cat").input_ids[-1] == 1


@pytest.mark.parametrize("part", [0, 20, 0.5, 0.999])
def test_one_that_is_cut_short_is_named(folder: Path, part: float) -> None:
    file = folder / "spiece.model"
    content = file.read_bytes()
    file.write_bytes(content[: int(part if part > 1 else part * len(content))])
    with pytest.raises(DamagedFileError, match=r"spiece\.model is damaged"):
        load(folder)


def test_one_of_something_else_is_named(folder: Path) -> None:
    (folder / "spiece.model").write_bytes(b"x" * 500)
    with pytest.raises(DamagedFileError, match=r"no vocabulary.*spiece\.model"):
        load(folder)
