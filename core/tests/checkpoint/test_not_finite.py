from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autopipe.checkpoint.formats import headers as values
from autopipe.checkpoint.formats.headers import not_finite, read_header

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2]


def found(folder: Path, **tensors: torch.Tensor) -> dict[str, int]:
    save_file(tensors, folder / "x.safetensors")
    return not_finite(folder / "x.safetensors", read_header(folder / "x.safetensors"))


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinity_are_counted(tmp_path: Path, dtype: torch.dtype) -> None:
    bad = torch.tensor([1.0, float("nan"), -float("inf"), 0.0, -float("nan"), -2.5]).to(dtype)
    largest = torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).min, -0.0], dtype=dtype)
    assert found(tmp_path, good=largest, bad=bad) == {"bad": 3}


def test_a_type_that_has_no_infinity(tmp_path: Path) -> None:
    values = torch.tensor([448.0, -448.0, float("nan"), 1.0]).to(torch.float8_e4m3fn)
    assert found(tmp_path, x=values) == {"x": 1}


def test_integers_are_always_numbers(tmp_path: Path) -> None:
    assert found(tmp_path, x=torch.full((8,), -1, dtype=torch.int64), y=torch.empty(0)) == {}


def test_large_tensors_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_BLOCK", 16)
    tensor = torch.zeros(100)
    tensor[[0, 50, 99]] = float("nan")
    assert found(tmp_path, first=torch.ones(3), x=tensor, last=torch.ones(3)) == {"x": 3}
