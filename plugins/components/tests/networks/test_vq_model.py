from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from hypothesis import given, settings
from hypothesis import strategies as st

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.vae_layers import SpatialNorm
from autopipe_components.networks.vq_model import VectorQuantizer, VQModel

BASE: dict[str, Any] = {
    "block_out_channels": (32, 32),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "latent_channels": 4,
    "num_vq_embeddings": 12,
    "norm_type": "spatial",
}


def make(**changes: Any) -> VQModel:
    torch.manual_seed(0)
    return VQModel(**{**BASE, **changes}).eval()


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@torch.no_grad()
def test_each_level_but_the_last_halves_the_size() -> None:
    model = make(
        block_out_channels=(32,) * 3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    latents = model.encode(draw(2, 3, 16, 24)).latents
    assert latents.shape == (2, 4, 4, 6)
    assert model.decode(latents).sample.shape == (2, 3, 16, 24)


@torch.no_grad()
def test_without_a_dict_it_is_a_tuple() -> None:
    model, images = make(), draw(1, 3, 8, 8)
    (latents,) = model.encode(images, return_dict=False)
    decoded, loss = model.decode(latents, return_dict=False)
    output = model(images)
    assert torch.equal(output.sample, decoded)
    assert torch.equal(output["commit_loss"], loss)
    assert torch.equal(model(images, return_dict=False)[0], decoded)


@torch.no_grad()
def test_latents_may_be_taken_as_they_are() -> None:
    model, latents = make(), draw(2, 4, 4, 4)
    quantised, *_ = model.quantize(latents)
    as_they_are = model.decode(latents, force_not_quantize=True)
    assert torch.equal(as_they_are.commit_loss, torch.zeros(2))
    assert not torch.equal(as_they_are.sample, model.decode(latents).sample)
    of_the_codebook = model.decode(quantised, force_not_quantize=True).sample
    # What is quantised again goes through `z + (e - z)`, which rounds.
    torch.testing.assert_close(of_the_codebook, model.decode(latents).sample, atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(
    count=st.integers(1, 9),
    width=st.integers(1, 5),
    size=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_each_pixel_becomes_the_nearest_vector(
    count: int, width: int, size: tuple[int, int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    quantizer = VectorQuantizer(count, width)
    quantizer.embedding.weight.normal_()
    latents = torch.randn(size[0], width, *size[1:])
    quantised, loss, taken = quantizer(latents)
    vectors = quantizer.embedding.weight
    distances = (latents.movedim(1, -1).flatten(0, 2)[:, None] - vectors).norm(dim=-1)
    chosen = distances.gather(1, taken[:, None])[:, 0]
    # Rounding may decide between two that are as near.
    torch.testing.assert_close(chosen, distances.min(dim=1).values)
    entries = quantizer.get_codebook_entry(taken, (size[0], *size[1:], width))
    torch.testing.assert_close(quantised, entries)
    torch.testing.assert_close(loss, 1.25 * (chosen**2).mean() / width)


def test_gradients_pass_the_codebook_by() -> None:
    model = make()
    latents = draw(1, 4, 4, 4).requires_grad_()
    quantised, loss, _ = model.quantize(latents)
    direction = draw(1, 4, 4, 4)
    (quantised * direction).sum().backward()
    assert torch.equal(latents.grad, direction)
    assert model.quantize.embedding.weight.grad is None
    loss.backward()
    assert model.quantize.embedding.weight.grad.any()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_parameter(checkpointing: bool) -> None:
    model = make().train()
    if checkpointing:
        model.enable_gradient_checkpointing()
    output = model(draw(2, 3, 8, 8))
    (output.sample.square().mean() + output.commit_loss).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@torch.no_grad()
def test_latents_scale_and_shift_after_normalisation() -> None:
    norm, hidden, latents = SpatialNorm(32, 4), draw(1, 32, 5, 7), draw(1, 4, 2, 3)
    for conv, value in ((norm.conv_y, 3.0), (norm.conv_b, 2.0)):
        conv.weight.zero_()
        conv.bias.fill_(value)
    # Normalised by groups of one channel each.
    normed = torch.nn.functional.instance_norm(hidden, eps=1e-6)
    torch.testing.assert_close(norm(hidden, latents), 3 * normed + 2)
    torch.nn.init.dirac_(norm.conv_b.weight)
    first = norm(hidden, latents)[:, 0] - 3 * normed[:, 0] - 2
    enlarged = torch.nn.functional.interpolate(latents, size=(5, 7), mode="nearest")[:, 0]
    torch.testing.assert_close(first, enlarged, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("lookup_from_codebook", [True, False])
def test_indices_into_the_codebook_are_decoded(lookup_from_codebook: bool) -> None:
    model = make(lookup_from_codebook=lookup_from_codebook)
    latents = draw(2, 4, 3, 5)
    _, _, indices = model.quantize(latents)
    found = model.decode(indices, force_not_quantize=True, shape=(2, 3, 5, 4))
    torch.testing.assert_close(found.sample, model.decode(latents).sample, atol=1e-5, rtol=1e-5)
    with pytest.raises(ArgumentError, match="pass shape"):
        model.decode(indices, force_not_quantize=True)


def test_names_of_the_first_releases() -> None:
    state = make().state_dict()
    old = {name.replace(".to_q.", ".query."): tensor for name, tensor in state.items()}
    assert old.keys() != state.keys()
    assert VQModel.convert_state_dict(old).keys() == state.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_type": "spacial"}, "norm_type is 'spacial'.*mean 'spatial'"),
        ({"vq_embed_dim": 5}, "to be equal, but they are 4 and 5"),
        ({"block_out_channels": (32, 48), "norm_num_groups": 8}, "32 groups don't divide.*48"),
        ({"norm_num_groups": 5}, "norm_num_groups is 5"),
        ({"up_block_types": ("UpDecoderBlock2D", "UpBlock2D")}, "asks for 'UpBlock2D'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_images_and_latents_of_another_shape_are_described() -> None:
    model = make()
    with pytest.raises(ArgumentError, match=r"images have shape \(1, 4, 8, 8\).*3 channels"):
        model.encode(torch.zeros(1, 4, 8, 8))
    for quantised in (True, False):
        with pytest.raises(ArgumentError, match=r"latents have shape \(1, 3, 8, 8\).*4 channels"):
            model.decode(torch.zeros(1, 3, 8, 8), force_not_quantize=quantised)


@torch.no_grad()
def test_layers_may_be_offloaded() -> None:
    model, latents = make(), draw(2, 4, 4, 4)
    expected = model.decode(latents)
    cpu_offload(model, torch.device("cpu"))
    found = model.decode(latents)
    assert torch.equal(found.sample, expected.sample)
    assert torch.equal(found.commit_loss, expected.commit_loss)


@torch.no_grad()
def test_half_precision_in_and_out() -> None:
    output = make().to(torch.bfloat16)(draw(1, 3, 8, 8).bfloat16())
    assert output.sample.dtype == output.commit_loss.dtype == torch.bfloat16
