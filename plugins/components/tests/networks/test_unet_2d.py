from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.fir import doubled, halved
from autopipe_components.networks.unet_2d import UNet2DModel

BASE: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
SKIP: dict[str, Any] = {
    **BASE,
    "block_out_channels": (32, 32),
    "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
    "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    "time_embedding_type": "fourier",
    "norm_num_groups": None,
}


MIXED: dict[str, Any] = {**SKIP, "norm_num_groups": 8}


def make(**changes: Any) -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(**{**BASE, **changes}).eval()


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@torch.no_grad()
def test_any_size_is_predicted() -> None:
    for size in ((8, 8), (9, 14)):
        assert make()(draw(2, 3, *size), 5).sample.shape == (2, 3, *size)


@torch.no_grad()
def test_a_skip_path_needs_sizes_that_can_be_halved() -> None:
    unet = make(**SKIP)
    assert unet(draw(1, 3, 6, 10), 5).sample.shape == (1, 3, 6, 10)
    with pytest.raises(ArgumentError, match="multiples of 2"):
        unet(draw(1, 3, 9, 10), 5)


@torch.no_grad()
def test_a_skip_path_may_end_above_the_lowest_resolution() -> None:
    blocks = {
        "down_block_types": ("SkipDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "SkipUpBlock2D"),
    }
    assert make(**{**MIXED, **blocks})(draw(1, 3, 8, 8), 5).sample.shape == (1, 3, 8, 8)


@torch.no_grad()
def test_samples_of_a_batch_do_not_mix() -> None:
    for config in (BASE, SKIP):
        unet, sample = make(**config), draw(3, 3, 8, 8)
        timesteps = torch.tensor([3.0, 1.0, 7.0])
        whole = unet(sample, timesteps).sample
        parts = [unet(sample[i : i + 1], timesteps[i]).sample for i in range(3)]
        torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_classes_change_the_prediction() -> None:
    unet, sample = make(num_class_embeds=3), draw(1, 3, 8, 8)
    first, second = (unet(sample, 5, torch.tensor([kind])).sample for kind in (0, 2))
    assert not torch.allclose(first, second)
    with pytest.raises(ArgumentError, match="pass class_labels"):
        unet(sample, 5)
    with pytest.raises(ArgumentError, match="without classes"):
        make()(sample, 5, torch.tensor([0]))


@torch.no_grad()
def test_attention_is_sliced_fused_and_processed() -> None:
    class Doubled:
        def __call__(self, attn: Any, hidden: Any, *args: Any, **kwargs: Any) -> Any:
            return attn.compute(hidden) * 2

    for config in (BASE, SKIP):
        unet, sample = make(**config), draw(1, 3, 8, 8)
        plain = unet(sample, 5).sample
        unet.fuse_qkv_projections()
        torch.testing.assert_close(unet(sample, 5).sample, plain, rtol=1e-4, atol=1e-5)
        unet.unfuse_qkv_projections()
        unet.set_attn_processor(Doubled())
        assert not torch.allclose(unet(sample, 5).sample, plain)
        unet.set_default_attn_processor()
        assert torch.equal(unet(sample, 5).sample, plain)


def test_gradients_with_checkpointing_are_those_without() -> None:
    for config in (BASE, SKIP):
        gradients = []
        for checkpointing in (False, True):
            unet = make(**config)
            if checkpointing:
                unet.enable_gradient_checkpointing()
            unet(draw(1, 3, 8, 8), 5).sample.square().mean().backward()
            gradients.append({n: p.grad for n, p in unet.named_parameters() if p.requires_grad})
        for name, gradient in gradients[0].items():
            assert gradient is not None, name
            torch.testing.assert_close(gradient, gradients[1][name])


def test_the_filter_keeps_the_mean_of_smooth_pictures() -> None:
    flat = torch.full((1, 2, 8, 8), 0.7)
    for resampled in (halved(flat), doubled(flat)):
        inner = (
            resampled[..., 2:-2, 2:-2] if resampled.shape[-1] > 8 else resampled[..., 1:-1, 1:-1]
        )
        torch.testing.assert_close(inner, torch.full_like(inner, 0.7))
    assert halved(flat).shape == (1, 2, 4, 4)
    assert doubled(flat).shape == (1, 2, 16, 16)


def test_early_names_of_attention_are_read() -> None:
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = make().state_dict()
    early = {}
    for name, tensor in state.items():
        for new, old in names.items():
            name = name.replace(f".{new}.", f".{old}.")
        early[name] = tensor
    assert early.keys() != state.keys()
    assert UNet2DModel.convert_state_dict(early).keys() == state.keys()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"down_block_types": ("DownBlock2D",)}, "1 values"),
        ({"down_block_types": ("DownBlok2D", "DownBlock2D")}, "DownBlok2D.*Did you mean"),
        ({"mid_block_type": "UNetMidBlock2DCrossAttn"}, "mid_block_type"),
        ({"downsample_type": "fir"}, "downsample_type"),
        ({"norm_num_groups": 3}, "norm_num_groups is 3"),
        ({"norm_num_groups": None}, "norm_num_groups is None"),
        ({"attn_norm_num_groups": 5}, "16 channels in 5 groups"),
        ({"attention_head_dim": 32}, "attention_head_dim is 32"),
        ({"class_embed_type": "projection"}, "class_embed_type"),
        ({"time_embedding_type": "sine"}, "time_embedding_type"),
        ({"time_embedding_type": "learned"}, "num_train_timesteps"),
        ({"block_out_channels": (1 << 20, 16)}, "block_out_channels"),
        ({"layers_per_block": 100_000}, "layers_per_block"),
        ({**SKIP, "in_channels": 4}, "skip path take and make 3"),
        ({**SKIP, "block_out_channels": (36, 36)}, "36 channels"),
        ({**MIXED, "up_block_types": ("SkipUpBlock2D", "UpBlock2D")}, "highest resolutions"),
        (
            {
                **MIXED,
                "block_out_channels": (32, 32, 32),
                "down_block_types": ("DownBlock2D", "SkipDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D",) * 3,
            },
            "down_block_types.*highest resolutions",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        UNet2DModel(**{**BASE, **changes})


def test_a_wrong_sample_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"\(B, 3, H, W\)"):
        make()(draw(1, 4, 8, 8), 5)
