"""The U-Net against the reference, at the names and shapes of real checkpoints and at random."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.networks import assert_same_names
from support.public import public_config
from torch import Tensor

from autopipe_components.networks.unet import UNet2DConditionModel

pytestmark = pytest.mark.parity

CHECKPOINTS = [
    "stable-diffusion-v1-5",
    "stable-diffusion-inpainting",
    "stable-diffusion-2-1",
    "stable-diffusion-2-inpainting",
    "stable-diffusion-xl-base-1.0",
    "IF-I-XL-v1.0",
    "IF-II-L-v1.0",
    "kandinsky-2-1",
    "kandinsky-2-1-inpaint",
    "kandinsky-2-2-decoder",
    "kandinsky-2-2-decoder-inpaint",
    "kandinsky-2-2-controlnet-depth",
]

# The same sums in another order: float32 has 7 digits, and a few hundred roundings are between
# input and output. Largest difference over largest value.
TOLERANCE = 1e-5

BASE: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
THREE = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2,
}
# Diffusion among pixels: 32 groups of prompt channels, 64 heads of the pooled prompt.
PIXELS: dict[str, Any] = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * 2,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D",) * 2 + ("ResnetUpsampleBlock2D",),
    "layers_per_block": (1, 2, 1),
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "resnet_time_scale_shift": "scale_shift",
}
IF_I: dict[str, Any] = {
    **PIXELS,
    "in_channels": 3,
    "out_channels": 6,
    "act_fn": "gelu",
    "encoder_hid_dim": 64,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "cross_attention_norm": "group_norm",
}
IF_II: dict[str, Any] = {
    **IF_I,
    "in_channels": 6,
    "class_embed_type": "timestep",
    "only_cross_attention": True,
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 1.4142271248762552,
    "mid_block_scale_factor": 1.4142271248762552,
    "time_embedding_dim": 24,
    "time_embedding_act_fn": "gelu",
}
KANDINSKY_21: dict[str, Any] = {
    **PIXELS,
    "out_channels": 8,
    "encoder_hid_dim": 20,
    "encoder_hid_dim_type": "text_image_proj",
    "addition_embed_type": "text_image",
}
KANDINSKY_22: dict[str, Any] = {
    **KANDINSKY_21,
    "encoder_hid_dim_type": "image_proj",
    "addition_embed_type": "image",
}
KANDINSKY_CONTROL = {**KANDINSKY_22, "in_channels": 8, "addition_embed_type": "image_hint"}
PROJECTION = {"projection_class_embeddings_input_dim": 7}


def pair(**changes: Any) -> tuple[UNet2DConditionModel, Any]:
    import diffusers

    torch.manual_seed(0)
    reference = diffusers.UNet2DConditionModel(**{**BASE, **changes}).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            # Biases and scales begin at 0 and 1, where swapping them would go unnoticed.
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    ours = UNet2DConditionModel(**{**BASE, **changes}).eval()
    ours.load_state_dict(reference.state_dict())
    return ours, reference


def relative_difference(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


@torch.no_grad()
def compare(models: tuple[Any, Any], size: tuple[int, int] = (8, 8), **inputs: Any) -> None:
    torch.manual_seed(1)
    ours, reference = models
    x = torch.randn(2, ours.sample_channels, *size)
    context = torch.randn(2, 5, 12)
    given = {"timestep": 500, "encoder_hidden_states": context, **inputs}
    expected = reference(x, **given).sample
    assert expected.std() > 0.01
    assert relative_difference(ours(x, **given).sample, expected) < TOLERANCE


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_state_dicts(checkpoint: str) -> None:
    assert_same_names(UNet2DConditionModel, public_config(f"{checkpoint}/unet"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**THREE},
        {"use_linear_projection": True, "attention_head_dim": (2, 8)},
        {"upcast_attention": True},
        {"cross_attention_dim": (12, 12), "layers_per_block": (1, 2)},
        {"only_cross_attention": True},
        {"only_cross_attention": (True, False), "mid_block_only_cross_attention": True},
        {"transformer_layers_per_block": (2, 1)},
        {
            "transformer_layers_per_block": ((1, 2), (2, 1)),
            "reverse_transformer_layers_per_block": ((1, 2, 1), (2, 1, 2)),
        },
        {"resnet_time_scale_shift": "scale_shift"},
        {"act_fn": "gelu"},
        {"act_fn": "mish", "timestep_post_act": "silu"},
        {"time_embedding_act_fn": "silu", "time_embedding_dim": 24},
        {"time_embedding_type": "fourier"},
        {"flip_sin_to_cos": False, "freq_shift": 1},
        {"conv_in_kernel": 1, "conv_out_kernel": 5},
        {"center_input_sample": True, "in_channels": 9, "out_channels": 6},
        {"downsample_padding": 0},
        {"mid_block_scale_factor": 1.7, "norm_eps": 1e-3},
        {"mid_block_type": "UNetMidBlock2D"},
        {"mid_block_type": None},
        {"up_block_types": ("UNetResUpBlock2D", "CrossAttnUpBlock2D")},
        {"attention_head_dim": 3},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_predictions(changes: dict[str, Any]) -> None:
    compare(pair(**changes))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (5, 12), (1, 3)], ids=str)
def test_sizes(size: tuple[int, int]) -> None:
    compare(pair(**THREE), size=size)


@pytest.mark.parametrize(
    "timestep",
    [0, 999, 12.5, torch.tensor(3), torch.tensor([3.25]), torch.tensor([1, 999])],
    ids=str,
)
def test_timesteps(timestep: Any) -> None:
    compare(pair(), timestep=timestep)


@pytest.mark.parametrize("slice_size", ["auto", "max", 2, [1, 2] * 6], ids=str)
def test_slices(slice_size: Any) -> None:
    models = pair()
    for model in models:
        model.set_attention_slice(slice_size)
    compare(models)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_class_embeds": 5}, torch.tensor([4, 0])),
        ({"class_embed_type": "timestep"}, torch.tensor([4, 900])),
        ({"class_embed_type": "identity"}, torch.ones(2, 64)),
        ({"class_embed_type": "projection", **PROJECTION}, torch.ones(2, 7)),
        ({"class_embed_type": "simple_projection", **PROJECTION}, torch.ones(2, 7)),
        ({"num_class_embeds": 5, "class_embeddings_concat": True}, torch.tensor([4, 0])),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_classes(changes: dict[str, Any], labels: Tensor) -> None:
    compare(pair(**changes), class_labels=labels)


def test_guidance_embedding() -> None:
    compare(pair(time_cond_proj_dim=6), timestep_cond=torch.linspace(-1, 1, 12).reshape(2, 6))


def test_added_conditions() -> None:
    models = pair(
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=10 + 6 * 4,
    )
    ids = torch.tensor([[64, 64, 0, 8, 64, 32], [32, 64, 0, 0, 64, 64]])
    compare(models, added_cond_kwargs={"text_embeds": torch.ones(2, 10), "time_ids": ids})


def test_projected_prompts() -> None:
    prompt = torch.randn(2, 5, 20, generator=torch.Generator().manual_seed(2))
    compare(pair(encoder_hid_dim=20), encoder_hidden_states=prompt)


def test_prompt_masks() -> None:
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    compare(pair(), encoder_attention_mask=mask)


def test_residuals_of_a_controlnet() -> None:
    torch.manual_seed(2)
    models = pair()
    shapes = [(16, 8)] * 3 + [(16, 4)] + [(32, 4)] * 2
    compare(
        models,
        down_block_additional_residuals=tuple(torch.randn(2, c, s, s) for c, s in shapes),
        mid_block_additional_residual=torch.randn(2, 32, 4, 4),
    )


@pytest.mark.parametrize("count", [2, 3])
def test_residuals_of_an_adapter(count: int) -> None:
    torch.manual_seed(2)
    ours, reference = pair()
    residuals = [torch.randn(2, 16, 8, 8), torch.randn(2, 32, 4, 4), torch.randn(2, 32, 4, 4)]
    x, context = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12)
    with torch.no_grad():
        # The reference empties the list.
        expected, found = (
            model(x, 1, context, down_intrablock_additional_residuals=list(residuals[:count]))
            for model in (reference, ours)
        )
    assert relative_difference(found.sample, expected.sample) < TOLERANCE


def test_gradients() -> None:
    ours, reference = pair()
    x, context = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12)
    for model in (ours, reference):
        model.train()(x, 100, context).sample.square().mean().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        # The backward pass doubles the roundings, and small gradients are sums of large ones.
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-5, rtol=1e-3)


def vectors(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resnet_time_scale_shift": "default"},
        {"resnet_out_scale_factor": 1.7},
        {"resnet_skip_time_act": True},
        {"cross_attention_norm": None},
        {"only_cross_attention": True},
        {"only_cross_attention": (True, False, True)},
        {"only_cross_attention": True, "mid_block_only_cross_attention": False},
        {"mid_block_only_cross_attention": True},
        {"attention_head_dim": (16, 8, 4)},
        {"encoder_hid_dim": None, "encoder_hid_dim_type": None, "cross_attention_dim": 64},
        {"addition_embed_type_num_heads": 4},
        {"addition_embed_type": None},
        {"timestep_post_act": "silu", "norm_num_groups": 4, "norm_eps": 1e-3},
        {"conv_in_kernel": 1, "conv_out_kernel": 1},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_first_stages_of_pixels(changes: dict[str, Any]) -> None:
    compare(pair(**{**IF_I, **changes}), encoder_hidden_states=vectors(2, 5, 64))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_embeddings_concat": True, "addition_embed_type": None},
        {"class_embed_type": None, "num_class_embeds": 1000},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_second_stages_of_pixels(changes: dict[str, Any]) -> None:
    compare(
        pair(**{**IF_II, **changes}),
        encoder_hidden_states=vectors(2, 5, 64),
        class_labels=torch.tensor([250, 0]),
    )


@pytest.mark.parametrize("mask", ["attention_mask", "encoder_attention_mask"])
def test_prompt_masks_beside_pixels(mask: str) -> None:
    tokens = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    compare(pair(**IF_I), encoder_hidden_states=vectors(2, 5, 64), **{mask: tokens})


@pytest.mark.parametrize("slice_size", ["auto", "max", 2], ids=str)
@pytest.mark.parametrize("config", [IF_I, IF_II], ids=["one", "two"])
def test_slices_of_pixels(config: dict[str, Any], slice_size: Any) -> None:
    models = pair(**config)
    for model in models:
        model.set_attention_slice(slice_size)
    labels = torch.tensor([250, 0]) if config is IF_II else None
    compare(models, encoder_hidden_states=vectors(2, 5, 64), class_labels=labels)


def test_residuals_of_a_controlnet_among_pixels() -> None:
    shapes = [(16, 8), (16, 8), (16, 4), (32, 4), (32, 4), (32, 2), (32, 2)]
    compare(
        pair(**IF_I),
        encoder_hidden_states=vectors(2, 5, 64),
        down_block_additional_residuals=tuple(vectors(2, c, s, s) for c, s in shapes),
        mid_block_additional_residual=vectors(2, 32, 2, 2),
    )


@pytest.mark.parametrize("changes", [{}, {"in_channels": 9}], ids=["plain", "inpaint"])
def test_prompt_and_image(changes: dict[str, Any]) -> None:
    compare(
        pair(**{**KANDINSKY_21, **changes}),
        encoder_hidden_states=vectors(2, 5, 20),
        added_cond_kwargs={"text_embeds": vectors(2, 32), "image_embeds": vectors(2, 32) + 1},
    )


@pytest.mark.parametrize("changes", [{}, {"in_channels": 9}], ids=["plain", "inpaint"])
def test_image(changes: dict[str, Any]) -> None:
    compare(
        pair(**{**KANDINSKY_22, **changes}),
        encoder_hidden_states=None,
        added_cond_kwargs={"image_embeds": vectors(2, 20)},
    )


@pytest.mark.parametrize("size", [(64, 64), (57, 62)], ids=str)
def test_image_and_hint(size: tuple[int, int]) -> None:
    compare(
        pair(**KANDINSKY_CONTROL),
        encoder_hidden_states=None,
        added_cond_kwargs={"image_embeds": vectors(2, 20), "hint": vectors(2, 3, *size)},
    )


def test_gradients_among_pixels() -> None:
    ours, reference = pair(**IF_I)
    x, context = vectors(2, 3, 8, 8), vectors(2, 5, 64)
    for model in (ours, reference):
        model.train()(x, 100, context).sample.square().mean().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        # The backward pass doubles the roundings, and small gradients are sums of large ones.
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-5, rtol=1e-3)
