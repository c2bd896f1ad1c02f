from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.autoencoder_kl import AutoencoderKL

MakeVAE = Callable[..., AutoencoderKL]
Draw = Callable[..., Tensor]


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_each_level_but_the_last_halves_the_size(
    make_vae: MakeVAE, draw: Draw, levels: int
) -> None:
    vae = make_vae(
        block_out_channels=(8, 16, 16)[:levels],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=5,
    )
    latents = vae.encode(draw(2, 3, 16, 24)).latent_dist.mode()
    factor = 2 ** (levels - 1)
    assert latents.shape == (2, 5, 16 // factor, 24 // factor)
    assert vae.decode(latents).sample.shape == (2, 3, 16, 24)


def test_without_a_dict_it_is_a_tuple(make_vae: MakeVAE, draw: Draw) -> None:
    vae, x = make_vae(), draw(1, 3, 16, 16)
    (posterior,) = vae.encode(x, return_dict=False)
    assert torch.equal(posterior.mean, vae.encode(x).latent_dist.mean)
    (images,) = vae.decode(posterior.mean, return_dict=False)
    assert torch.equal(images, vae.decode(posterior.mean).sample)
    assert torch.equal(images, vae(x, return_dict=False)[0])


def test_a_draw_of_the_latents_is_decoded_on_request(make_vae: MakeVAE, draw: Draw) -> None:
    vae, x = make_vae(), draw(1, 3, 16, 16)
    drawn = vae.encode(x).latent_dist.sample(torch.Generator().manual_seed(3))
    found = vae(x, sample_posterior=True, generator=torch.Generator().manual_seed(3)).sample
    assert torch.equal(found, vae.decode(drawn).sample)
    assert not torch.equal(found, vae(x).sample)


def test_slicing_gives_the_same_result(make_vae: MakeVAE, draw: Draw) -> None:
    vae, x, z = make_vae(), draw(3, 3, 16, 16), draw(3, 4, 8, 8)
    moments, images = vae.encode(x).latent_dist.parameters, vae.decode(z).sample
    vae.enable_slicing()
    # Batches of another size may add up in another order.
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(vae.encode(x).latent_dist.parameters, moments, **close)
    torch.testing.assert_close(vae.decode(z).sample, images, **close)
    vae.disable_slicing()
    assert torch.equal(vae.decode(z).sample, images)


def test_tiling_keeps_sizes_and_stays_close(make_vae: MakeVAE, draw: Draw) -> None:
    vae = make_vae(mid_block_add_attention=False, sample_size=32)
    x, z = draw(1, 3, 80, 56), draw(1, 4, 40, 28)
    moments, images = vae.encode(x).latent_dist.parameters, vae.decode(z).sample
    vae.enable_tiling()
    for found, whole in (
        (vae.encode(x).latent_dist.parameters, moments),
        (vae.decode(z).sample, images),
    ):
        assert found.shape == whole.shape
        # Tiles differ at their borders and in the statistics of their normalisation: with random
        # weights, by a part of the image's own variance. Tiles in wrong places differ by twice it.
        assert (found - whole).square().mean() < 0.2 * whole.var()
    assert torch.equal(vae.tiled_decode(z).sample, vae.decode(z).sample)
    vae.disable_tiling()
    assert torch.equal(vae.decode(z).sample, images)


def test_what_fits_into_a_tile_is_not_tiled(make_vae: MakeVAE, draw: Draw) -> None:
    vae, x, z = make_vae(), draw(1, 3, 16, 16), draw(1, 4, 8, 8)
    moments, images = vae.encode(x).latent_dist.parameters, vae.decode(z).sample
    vae.enable_tiling()
    assert torch.equal(vae.encode(x).latent_dist.parameters, moments)
    assert torch.equal(vae.decode(z).sample, images)


def test_threads_share_a_model(make_vae: MakeVAE, draw: Draw) -> None:
    vae = make_vae()
    vae.enable_tiling()
    images = [draw(1, 3, size, size) for size in (16, 24, 32, 20)]
    serial = [vae(x).sample for x in images]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda x: vae(x).sample, images))
    assert all(map(torch.equal, parallel, serial))


@pytest.mark.parametrize("dimensions", [2, 4])
def test_names_of_the_first_releases(make_vae: MakeVAE, draw: Draw, dimensions: int) -> None:
    vae = make_vae()
    old_names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in vae.state_dict().items():
        for new, was in old_names.items():
            if f".{new}." in name:
                name = name.replace(new, was)
                if dimensions == 4 and name.endswith("weight"):
                    tensor = tensor[:, :, None, None]
        old[name] = tensor
    assert any("proj_attn" in name for name in old)
    converted = AutoencoderKL.convert_state_dict(old)
    again = AutoencoderKL.from_config(vae.config).eval()
    again.load_state_dict(converted)
    x = draw(1, 3, 16, 16)
    assert torch.equal(again(x).sample, vae(x).sample)
    assert all(
        converted[name].data_ptr() == tensor.data_ptr() for name, tensor in vae.state_dict().items()
    )


def test_names_of_today_stay(make_vae: MakeVAE) -> None:
    state = make_vae().state_dict()
    assert AutoencoderKL.convert_state_dict(state).keys() == state.keys()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_parameter(
    make_vae: MakeVAE, draw: Draw, checkpointing: bool
) -> None:
    vae = make_vae().train()
    if checkpointing:
        vae.enable_gradient_checkpointing()
    x = draw(2, 3, 16, 16)
    posterior = vae.encode(x).latent_dist
    loss = (vae.decode(posterior.sample()).sample - x).square().mean() + posterior.kl().mean()
    loss.backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("option", "absent"),
    [
        ("use_quant_conv", "quant_conv."),
        ("use_post_quant_conv", "post_quant_conv."),
        ("mid_block_add_attention", "encoder.mid_block.attentions"),
    ],
)
def test_parts_that_may_be_left_out(
    make_vae: MakeVAE, draw: Draw, option: str, absent: str
) -> None:
    vae = make_vae(**{option: False})
    assert any(name.startswith(absent) for name in make_vae().state_dict())
    assert not any(name.startswith(absent) for name in vae.state_dict())
    assert vae(draw(1, 3, 16, 16)).sample.shape == (1, 3, 16, 16)


def test_a_config_makes_the_same_network_again(make_vae: MakeVAE) -> None:
    vae = make_vae(scaling_factor=0.5, latents_mean=(0.0, 1.0, 2.0, 3.0))
    assert AutoencoderKL.from_config(vae.config).config == vae.config
    assert vae.config.scaling_factor == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"down_block_types": ("AttnDownBlock2D",) * 2},
            "asks for 'AttnDownBlock2D'.*mean 'AttnDownEncoderBlock2D'",
        ),
        ({"up_block_types": ("UpDecoderBlock2D",)}, "up_block_types has 1 values.*2 resolutions"),
        ({"norm_num_groups": 5}, "norm_num_groups is 5.*16 channels"),
        ({"act_fn": "silou"}, "mean 'silu'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_supported_is_named(
    make_vae: MakeVAE, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_vae(**changes)


def test_images_and_latents_of_another_shape_are_described(make_vae: MakeVAE) -> None:
    vae = make_vae()
    with pytest.raises(ArgumentError, match=r"images have shape \(1, 4, 8, 8\).*3 channels"):
        vae.encode(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ArgumentError, match=r"latents have shape \(4, 8, 8\).*\(B, 4, H, W\)"):
        vae.decode(torch.zeros(4, 8, 8))


def test_half_precision_in_and_out(make_vae: MakeVAE, draw: Draw) -> None:
    vae = make_vae().to(torch.bfloat16)
    vae.enable_tiling()
    assert vae(draw(1, 3, 20, 20).bfloat16()).sample.dtype == torch.bfloat16
