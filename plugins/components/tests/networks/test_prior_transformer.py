from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.prior_transformer import PriorTransformer

BASE: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 6,
    "num_layers": 2,
    "embedding_dim": 8,
    "num_embeddings": 7,
}


def make(**changes: Any) -> PriorTransformer:
    torch.manual_seed(0)
    prior = PriorTransformer(**{**BASE, **changes}).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            # What training would give them: they begin at zero.
            if not parameter.any():
                parameter.normal_()
    return prior


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def inputs(**changes: Any) -> dict[str, Any]:
    return {
        "hidden_states": draw(3, 8),
        "timestep": 37,
        "proj_embedding": draw(3, 8),
        "encoder_hidden_states": draw(3, 7, 8),
        "attention_mask": torch.ones(3, 7, dtype=torch.bool),
        **changes,
    }


@torch.no_grad()
def test_it_predicts_an_embedding_of_each_sample() -> None:
    prior, given = make(clip_embed_dim=5), inputs()
    found = prior(**given).predicted_image_embedding
    assert found.shape == (3, 5)
    assert torch.equal(prior(**given, return_dict=False)[0], found)


@torch.no_grad()
@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_states": draw(3, 8) + 1},
        {"timestep": 38},
        {"proj_embedding": draw(3, 8) + 1},
        {"encoder_hidden_states": draw(3, 7, 8) + 1},
        {"attention_mask": torch.tensor([[1] * 3 + [0] * 4] * 3)},
        {"attention_mask": None},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_input_counts(changed: dict[str, Any]) -> None:
    prior = make()
    found, other = (prior(**given)[0] for given in (inputs(), inputs(**changed)))
    assert not torch.allclose(found, other, atol=1e-4)


@torch.no_grad()
def test_masked_tokens_are_not_looked_at() -> None:
    prior = make()
    mask = torch.tensor([[1, 1, 0, 0, 0, 0, 0]] * 3)
    text = draw(3, 7, 8)
    changed = text.clone()
    changed[:, 2:] = 5.0
    found, other = (
        prior(**inputs(encoder_hidden_states=tokens, attention_mask=mask))[0]
        for tokens in (text, changed)
    )
    # The last token sees none of them, and those before it see none that come later.
    assert torch.equal(found, other)


@torch.no_grad()
def test_timesteps_for_all_and_for_each() -> None:
    prior = make()
    times = [5, 500, 999]
    each = prior(**inputs(timestep=torch.tensor(times)))[0]
    for number, time in enumerate(times):
        # One for all is embedded once, in a sum of another order.
        for_all = prior(**inputs(timestep=torch.tensor(time)))[0]
        torch.testing.assert_close(for_all[number], each[number], atol=1e-5, rtol=1e-5)
    with pytest.raises(ArgumentError, match="2 timesteps were given for 3 samples"):
        prior(**inputs(timestep=torch.tensor([1, 2])))


@torch.no_grad()
def test_without_a_token_of_its_own_the_prediction_stands_at_the_noisy_embedding() -> None:
    prior = make(added_emb_type=None, additional_embeddings=3)
    assert prior(**inputs())[0].shape == (3, 1, 8)


@torch.no_grad()
def test_several_embeddings_of_each_sample() -> None:
    prior = make(
        additional_embeddings=0,
        encoder_hid_proj_type=None,
        added_emb_type=None,
        norm_in_type="layer",
    )
    found = prior(draw(3, 7, 8), 4, draw(3, 8))[0]
    assert found.shape == (3, 7, 8)
    with pytest.raises(ArgumentError, match="8 tokens and has positions for 7"):
        prior(draw(3, 6, 8), 4, draw(3, 8))


def test_embeddings_are_normalised_ones_stretched_and_shifted() -> None:
    prior = make()
    latents = draw(3, 8)
    found = prior.post_process_latents(latents)
    torch.testing.assert_close((found - prior.clip_mean) / prior.clip_std, latents)
    assert {"clip_mean", "clip_std"} <= prior.state_dict().keys()


def test_a_folder_brings_back_the_same_network(tmp_path: Path) -> None:
    prior = make(norm_in_type="layer", embedding_proj_norm_type="layer")
    prior.save_pretrained(tmp_path)
    back = PriorTransformer.from_pretrained(tmp_path)
    for name in PriorTransformer.init_parameters():
        assert back.config[name] == prior.config[name]
    with torch.no_grad():
        assert torch.equal(back(**inputs())[0], prior(**inputs())[0])


def test_gradients_reach_every_parameter() -> None:
    prior = make(dropout=0.1).train()
    prior.post_process_latents(prior(**inputs())[0]).square().mean().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    "option",
    ["norm_in_type", "embedding_proj_norm_type", "encoder_hid_proj_type", "added_emb_type"],
)
def test_what_is_not_supported_is_named(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is 'batch'; supported are None and"):
        make(**{option: "batch"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_hidden_states": None}, r"pass encoder_hidden_states, \(3, 7, 8\)"),
        ({"encoder_hidden_states": draw(3, 9, 8)}, r"13 tokens.*positions for 11.*\(B, 7, 8\)"),
        ({"attention_mask": torch.ones(3, 6)}, "attention_mask is for 6 tokens.*takes 7"),
    ],
)
def test_inputs_of_another_size_are_described(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()(**inputs(**changes))


@torch.no_grad()
def test_half_precision_in_and_out() -> None:
    prior = make().to(torch.bfloat16)
    given = {
        name: value.bfloat16()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
        else value
        for name, value in inputs().items()
    }
    assert prior(**given)[0].dtype == torch.bfloat16
