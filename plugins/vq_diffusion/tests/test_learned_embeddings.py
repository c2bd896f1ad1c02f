from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import LearnedClassifierFreeSamplingEmbeddings as Learned
from autopipe.errors import ConfigError


@pytest.mark.parametrize(
    "config",
    [
        {"learnable": True, "hidden_size": 4},
        {"learnable": True, "length": 4},
        {"learnable": True, "hidden_size": 1 << 40, "length": 4},
        {"learnable": True, "hidden_size": 4, "length": 1 << 40},
        {"learnable": True, "hidden_size": 4, "length": 0},
        {"learnable": "x"},
    ],
    ids=str,
)
def test_configs_that_do_not_work(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Learned(**config)


@pytest.mark.parametrize(
    ("config", "shape"),
    [({"learnable": True, "hidden_size": 4, "length": 3}, (3, 4)), ({"learnable": False}, (0,))],
    ids=["some", "none"],
)
def test_they_are_saved(config: dict[str, Any], shape: tuple[int, ...], tmp_path: Path) -> None:
    made = Learned(**config)
    made.embeddings.data.normal_()
    made.save_pretrained(tmp_path)
    again = Learned.from_pretrained(tmp_path)
    assert again.embeddings.shape == shape
    assert torch.equal(again.embeddings, made.embeddings)
