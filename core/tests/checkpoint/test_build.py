from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from autopipe.checkpoint.build import WithoutMemory
from autopipe.errors import ConfigError

from .conftest import TinyNet


def test_parameters_take_no_memory_and_buffers_are_right() -> None:
    with WithoutMemory():
        net = TinyNet(width=8, depth=2)
    real = TinyNet(width=8, depth=2)
    assert all(p.is_meta for n, p in net.named_parameters())
    assert {n: p.shape for n, p in net.named_parameters()} == {
        n: p.shape for n, p in real.named_parameters()
    }
    assert torch.equal(net.steps, real.steps)
    assert torch.equal(net.count, real.count)


def test_initial_values_that_are_scaled_take_no_memory() -> None:
    with WithoutMemory():
        for made in (torch.randn(3, 4) / 2.0, torch.rand(3, 4) * 2, 0.5 * torch.empty(3, 4)):
            assert made.is_meta
            assert made.shape == (3, 4)
            assert made.dtype == torch.float32
        assert torch.equal(torch.ones(3) / 2, torch.full((3,), 0.5))
        assert (torch.empty(4, dtype=torch.float16) * torch.empty(3, 1)).shape == (3, 4)


def test_no_random_number_is_drawn() -> None:
    before = torch.random.get_rng_state()
    with WithoutMemory():
        TinyNet()
        nn.Conv2d(3, 3, 3)
        CLIPTextModel(CLIPTextConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_other_threads_are_not_affected() -> None:
    made: list[nn.Linear] = []
    with WithoutMemory():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
    assert not made[0].weight.is_meta
    assert not nn.Linear(2, 2).weight.is_meta


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.arange(n),
        lambda n: torch.arange(1, end=n),
        lambda n: torch.arange(end=n, dtype=torch.float64),
        lambda n: torch.arange(n, 0, -1),
        lambda n: torch.linspace(0, 1, n),
        lambda n: torch.linspace(0, 1, steps=n),
        lambda n: torch.logspace(0, 1, n),
        lambda n: torch.eye(n // 64, 64),
        lambda n: torch.eye(int(n**0.5)),
        lambda n: torch.zeros(n),
        lambda n: torch.full((n,), 3.0),
    ],
)
def test_a_buffer_of_absurd_size_is_refused_and_others_are_made(make: Any) -> None:
    with WithoutMemory():
        assert torch.equal(make(4096), make(4096))
        assert not make(4096).is_meta
        with pytest.raises(ConfigError, match="a buffer of"):
            make(1 << 40)
    assert make(4096).shape


def test_real_tensors_are_still_filled() -> None:
    with WithoutMemory():
        zeros = torch.zeros(3)
        assert torch.equal(nn.init.ones_(zeros), torch.ones(3))
        assert torch.equal(zeros.fill_(2), torch.full((3,), 2.0))
