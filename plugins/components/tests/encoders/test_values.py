"""Encoders compute bit for bit what the classes of transformers compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.encoders import CALLS, CASES, IDS, MASK, T5_MODEL, TEXT_MODEL, VARIANTS, tensors

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def same(ours: Any, theirs: Any) -> bool:
    pairs = list(zip(tensors(ours), tensors(theirs), strict=True))
    return all(a.dtype is b.dtype and torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("name", "call"), CALLS)
@torch.no_grad()
def test_outputs_are_those_of_transformers(name: str, call: str) -> None:
    case = VARIANTS[name]
    for dtype in DTYPES:
        ours, theirs = case.pair(dtype)
        inputs = {
            name: value.to(dtype) if name == "inputs_embeds" else value
            for name, value in case.inputs[call].items()
        }
        found = ours(**inputs, output_hidden_states=True)
        expected = theirs(**inputs, output_hidden_states=True)
        assert list(found) == list(expected)
        assert same(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_transformers(name: str) -> None:
    case = CASES[name]
    inputs = next(iter(case.inputs.values()))
    found = []
    for encoder in case.pair():
        encoder(**inputs)[0].square().sum().backward()
        found.append({name: parameter.grad for name, parameter in encoder.named_parameters()})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for key, gradient in ours.items():
        if gradient is None:
            assert theirs[key] is None
        else:
            # Sums of several paths are added in another order.
            assert torch.allclose(gradient, theirs[key], rtol=1e-4, atol=1e-4), key


@torch.no_grad()
def test_a_float16_t5_computes_in_float32_where_its_values_are_large() -> None:
    ours, theirs = T5_MODEL.pair(torch.float16)
    for encoder in (ours, theirs):
        for block in encoder.encoder.block:
            block.layer[1].DenseReluDense.wo.float()
    for scale in (1.0, 3e4):  # the larger one makes infinite values, which are cut off
        for encoder in (ours, theirs):
            encoder.encoder.block[0].layer[0].SelfAttention.o.weight.data.fill_(scale)
        call = {"input_ids": IDS, "attention_mask": MASK, "output_hidden_states": True}
        found = ours(**call)
        assert same(found, theirs(**call))
        assert all(state.isfinite().all() for state in found.hidden_states[:-1])


@torch.no_grad()
def test_dropout_acts_in_training_only() -> None:
    for case in (TEXT_MODEL, T5_MODEL):
        rates = {"attention_dropout": 0.5} if case is TEXT_MODEL else {"dropout_rate": 0.5}
        ours = case.ours(**{**case.config, **rates})
        first, second = (ours.train()(IDS).last_hidden_state for _ in range(2))
        assert not torch.equal(first, second)
        first, second = (ours.eval()(IDS).last_hidden_state for _ in range(2))
        assert torch.equal(first, second)
