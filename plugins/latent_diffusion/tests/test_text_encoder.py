from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe import LDMBertModel
from autopipe.errors import ArgumentError, ConfigError


@pytest.fixture(scope="module")
def bert(parts: dict[str, Any]) -> Any:
    return parts["bert"]


@pytest.mark.parametrize(
    "entry",
    [
        {"d_model": 1 << 30},
        {"head_dim": 1 << 30},
        {"encoder_layers": 1 << 20},
        {"encoder_ffn_dim": -1},
        {"encoder_attention_heads": 0},
        {"vocab_size": 1 << 40},
        {"max_position_embeddings": "many"},
        {"activation_function": "__import__"},
        {"dropout": 2.0},
    ],
    ids=str,
)
def test_a_config_that_makes_no_network_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(entry))):
        LDMBertModel(**entry)


def test_the_second_names_of_entries(bert: Any) -> None:
    config = bert.config
    assert (config.hidden_size, config.num_hidden_layers) == (16, 2)
    assert LDMBertModel.from_config(config).config.to_dict() == config.to_dict()


def test_masked_tokens_have_no_effect(bert: Any) -> None:
    ids = torch.tensor([[2, 7, 8, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    short = bert(ids[:, :4]).last_hidden_state
    padded = bert(ids, attention_mask=mask).last_hidden_state[:, :4]
    torch.testing.assert_close(short, padded)
    assert (bert(ids).last_hidden_state[:, :4] - short).abs().max() > 1e-3


def test_states_of_all_layers(bert: Any) -> None:
    found = bert(torch.tensor([[2, 7, 3]]), output_hidden_states=True)
    assert len(found.hidden_states) == 3
    assert found.hidden_states[-1] is found.last_hidden_state


@pytest.mark.parametrize("ids", [None, torch.zeros(1, 78, dtype=torch.long)])
def test_tokens_that_are_absent_or_too_many(bert: Any, ids: Any) -> None:
    with pytest.raises(ArgumentError, match="at most 77 tokens"):
        bert(ids)
