from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.unet import UNet2DConditionModel

MakeUNet = Callable[..., UNet2DConditionModel]
Draw = Callable[..., Tensor]


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 2)])
def test_the_prediction_has_the_size_of_the_sample(
    make_unet: MakeUNet, draw: Draw, size: tuple[int, int]
) -> None:
    unet = make_unet(out_channels=5)
    found = unet(draw(2, 4, *size), 1, draw(2, 3, 12))
    assert found.sample.shape == (2, 5, *size)
    assert found[0] is found.sample


def test_without_a_dict_it_is_a_tuple(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(), draw(1, 4, 8, 8), draw(1, 3, 12)
    (found,) = unet(x, 1, c, return_dict=False)
    assert torch.equal(found, unet(x, 1, c).sample)


@pytest.mark.parametrize(
    "timestep", [3, 3.0, torch.tensor(3), torch.tensor([3]), torch.tensor([3, 3])], ids=str
)
def test_a_timestep_may_be_given_in_many_ways(
    make_unet: MakeUNet, draw: Draw, timestep: Any
) -> None:
    unet, x, c = make_unet(), draw(2, 4, 8, 8), draw(2, 3, 12)
    found = unet(x, timestep, c).sample
    assert torch.equal(found, unet(x, torch.tensor([3, 3]), c).sample)
    assert not torch.equal(found, unet(x, 4, c).sample)


def test_each_sample_has_its_own_timestep_and_prompt(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(), draw(2, 4, 8, 8), draw(2, 3, 12)
    together = unet(x, torch.tensor([10, 700]), c).sample
    alone = [unet(x[i : i + 1], t, c[i : i + 1]).sample for i, t in enumerate((10, 700))]
    # Matrix products of another batch size add up in another order.
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_a_call_leaves_nothing_behind(make_unet: MakeUNet, draw: Draw) -> None:
    unet = make_unet()
    inputs = [(draw(1, 4, s, s), 100 * s, draw(1, 3, 12)) for s in (8, 5, 7, 4) * 2]
    serial = [unet(*given).sample for given in inputs]

    def call(given: tuple[Tensor, int, Tensor]) -> Tensor:
        return unet(*given).sample

    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(call, inputs))
    assert all(map(torch.equal, parallel, serial))


def test_inputs_are_not_changed(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(center_input_sample=True), draw(1, 4, 8, 8), draw(1, 3, 12)
    residuals = [draw(1, 16, 8, 8), draw(1, 32, 4, 4)]
    before = [t.clone() for t in (x, c, *residuals)]
    unet(x, 1, c, down_intrablock_additional_residuals=residuals)
    assert len(residuals) == 2
    assert all(map(torch.equal, (x, c, *residuals), before))


def test_slices_give_the_same_prediction(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(), draw(2, 4, 8, 8), draw(2, 3, 12)
    whole = unet(x, 1, c).sample
    for size in ("auto", "max", 3, [1, 2] * 4):
        unet.set_attention_slice(size)
        # Attention over fewer heads at once may add up in another order.
        torch.testing.assert_close(unet(x, 1, c).sample, whole, atol=1e-5, rtol=1e-5)


def test_masked_prompt_tokens_do_not_matter(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(), draw(1, 4, 8, 8), draw(1, 3, 12)
    mask = torch.tensor([[1, 1, 0]])
    masked = unet(x, 1, c, encoder_attention_mask=mask).sample
    torch.testing.assert_close(masked, unet(x, 1, c[:, :2]).sample, atol=1e-5, rtol=1e-5)


def test_centering_takes_samples_from_zero_to_one(make_unet: MakeUNet, draw: Draw) -> None:
    x, c = draw(1, 4, 8, 8), draw(1, 3, 12)
    centred = make_unet(center_input_sample=True)(x, 1, c).sample
    assert torch.equal(centred, make_unet()(2 * x - 1, 1, c).sample)


def test_residuals_of_a_controlnet_are_added(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(), draw(1, 4, 8, 8), draw(1, 3, 12)
    plain = unet(x, 1, c).sample
    down = [torch.zeros(1, 16, 8, 8) for _ in range(2)]
    down += [torch.zeros(1, 16, 4, 4), torch.zeros(1, 32, 4, 4)]
    mid = torch.zeros(1, 32, 4, 4)

    def found() -> Tensor:
        return unet(
            x,
            1,
            c,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample

    assert torch.equal(found(), plain)
    for residual in (*down, mid):
        residual += 1.0
        assert not torch.equal(found(), plain)
        residual -= 1.0


@pytest.mark.parametrize("names", [["down"], ["mid"], ["down", "mid"]])
def test_residuals_that_do_not_fit_are_refused(
    make_unet: MakeUNet, draw: Draw, names: list[str]
) -> None:
    given = {
        "down": {"down_block_additional_residuals": [torch.zeros(1, 16, 8, 8)]},
        "mid": {"mid_block_additional_residual": torch.zeros(1, 32, 4, 4)},
    }
    keywords = {k: v for name in names for k, v in given[name].items()}
    message = "1 down_block.*4 skip" if len(names) == 2 else "go together"
    with pytest.raises(ArgumentError, match=message):
        make_unet()(draw(1, 4, 8, 8), 1, draw(1, 3, 12), **keywords)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_class_embeds": 5}, torch.tensor([4])),
        ({"class_embed_type": "timestep"}, torch.tensor([4])),
        ({"class_embed_type": "identity"}, torch.ones(1, 64)),
        (
            {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 7},
            torch.ones(1, 7),
        ),
        (
            {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 7},
            torch.ones(1, 7),
        ),
    ],
    ids=lambda value: value.get("class_embed_type") if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("concat", [False, True])
def test_classes(
    make_unet: MakeUNet, draw: Draw, changes: dict[str, Any], labels: Tensor, concat: bool
) -> None:
    unet = make_unet(**changes, class_embeddings_concat=concat)
    x, c = draw(1, 4, 8, 8), draw(1, 3, 12)
    found = unet(x, 1, c, class_labels=labels).sample
    assert not torch.equal(found, unet(x, 1, c, class_labels=labels * 0).sample)
    with pytest.raises(ArgumentError, match="pass class_labels"):
        unet(x, 1, c)


def test_a_guidance_embedding(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, c = make_unet(time_cond_proj_dim=6), draw(1, 4, 8, 8), draw(1, 3, 12)
    low, high = draw(1, 6), draw(1, 6)
    found = [unet(x, 1, c, timestep_cond=cond).sample for cond in (None, low, high)]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


def test_sizes_and_pooled_prompt(make_unet: MakeUNet, draw: Draw) -> None:
    unet = make_unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=10 + 6 * 4,
        transformer_layers_per_block=(2, 1),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
    )
    x, c = draw(1, 4, 8, 8), draw(1, 3, 12)
    added = {"text_embeds": draw(1, 10), "time_ids": torch.tensor([[64, 64, 0, 0, 64, 64]])}
    found = unet(x, 1, c, added_cond_kwargs=added).sample
    for name in added:
        changed = unet(x, 1, c, added_cond_kwargs={**added, name: added[name] + 1}).sample
        assert not torch.equal(found, changed)
        with pytest.raises(ArgumentError, match=f"pass '{name}'"):
            unet(x, 1, c, added_cond_kwargs={k: v for k, v in added.items() if k != name})
    with pytest.raises(ArgumentError, match="vector of 30 numbers, the model takes 34"):
        unet(x, 1, c, added_cond_kwargs={**added, "time_ids": added["time_ids"][:, :5]})


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_parameter_and_input(
    make_unet: MakeUNet, draw: Draw, checkpointing: bool
) -> None:
    unet = make_unet(num_class_embeds=3, time_cond_proj_dim=2).train()
    x, c = draw(2, 4, 5, 6).requires_grad_(), draw(2, 3, 12).requires_grad_()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    out = unet(x, torch.tensor([1, 9]), c, torch.tensor([0, 2]), draw(2, 2)).sample
    out.square().mean().backward()
    for name, tensor in (*unet.named_parameters(), ("sample", x), ("context", c)):
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name


def test_recomputed_gradients_are_the_same(make_unet: MakeUNet, draw: Draw) -> None:
    x, c = draw(1, 4, 8, 8), draw(1, 3, 12)

    def gradients(checkpointing: bool) -> list[Tensor]:
        unet = make_unet(dropout=0.2).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        torch.manual_seed(1)
        unet(x, 1, c).sample.square().mean().backward()
        return [p.grad for p in unet.parameters() if p.grad is not None]

    assert all(map(torch.equal, gradients(True), gradients(False)))


def test_a_config_makes_the_same_network_again(make_unet: MakeUNet, draw: Draw) -> None:
    unet = make_unet(attention_head_dim=(2, 4), upcast_attention=True)
    again = UNet2DConditionModel.from_config(unet.config).eval()
    assert again.config == unet.config
    again.load_state_dict(unet.state_dict())
    x, c = draw(1, 4, 8, 8), draw(1, 3, 12)
    assert torch.equal(again(x, 1, c).sample, unet(x, 1, c).sample)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 4}, "num_attention_heads is 4"),
        ({"dual_cross_attention": True}, "dual_cross_attention is True"),
        ({"attention_type": "gated"}, "attention_type is 'gated'"),
        ({"cross_attention_norm": "group_norm"}, "cross_attention_norm is 'group_norm'"),
        ({"resnet_skip_time_act": True}, "resnet_skip_time_act is True"),
        ({"resnet_out_scale_factor": 2.0}, "resnet_out_scale_factor is 2.0"),
        ({"down_block_types": ("CrossAttnDownBlock2D", "DownBlok2D")}, "mean 'DownBlock2D'"),
        ({"up_block_types": ("AttnUpBlock2D", "UpBlock2D")}, "asks for 'AttnUpBlock2D'"),
        ({"mid_block_type": "MidBlock"}, "mid_block_type asks for 'MidBlock'"),
        ({"class_embed_type": "text"}, "class_embed_type is 'text'"),
        ({"class_embed_type": "projection"}, "needs projection_class_embeddings_input_dim"),
        ({"addition_embed_type": "sound"}, "addition_embed_type is 'sound'"),
        ({"addition_embed_type": "text_time"}, "needs addition_time_embed_dim"),
        ({"encoder_hid_dim_type": "sound_proj"}, "encoder_hid_dim_type is 'sound_proj'"),
        ({"encoder_hid_dim_type": "text_proj"}, "needs encoder_hid_dim"),
        ({"time_embedding_type": "learned"}, "time_embedding_type is 'learned'"),
        ({"time_embedding_type": "fourier", "time_embedding_dim": 7}, "need an even one"),
        ({"resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift is 'spatial'"),
        ({"norm_num_groups": 12}, "norm_num_groups is 12.*16 channels"),
        ({"act_fn": "tanhh"}, "act_fn is 'tanhh'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_supported_is_named(
    make_unet: MakeUNet, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_unet(**changes)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sample": torch.zeros(2, 9, 8, 8)}, r"\(2, 9, 8, 8\).*with 4 channels"),
        ({"sample": torch.zeros(4, 8, 8)}, r"\(B, 4, H, W\)"),
        ({"timestep": torch.tensor([1, 2, 3])}, "3 timesteps were given for 2 samples"),
        ({"encoder_hidden_states": torch.zeros(2, 3, 13)}, "tokens, 12"),
        ({"encoder_hidden_states": None}, "pass encoder_hidden_states"),
        ({"class_labels": torch.tensor([1, 1])}, "model without classes"),
        ({"timestep_cond": torch.zeros(2, 3)}, "without time_cond_proj_dim"),
        ({"cross_attention_kwargs": {"scael": 1.0}}, "'scael'.*mean 'scale'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_bad_call_is_described(
    make_unet: MakeUNet, draw: Draw, keywords: dict[str, Any], message: str
) -> None:
    good = {"sample": draw(2, 4, 8, 8), "timestep": 1, "encoder_hidden_states": draw(2, 3, 12)}
    with pytest.raises(ArgumentError, match=message):
        make_unet()(**{**good, **keywords})


def test_a_network_without_attention_needs_no_prompt(make_unet: MakeUNet, draw: Draw) -> None:
    unet = make_unet(
        down_block_types=("DownBlock2D",) * 2,
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D",) * 2,
    )
    assert unet(draw(1, 4, 8, 8), 1, None).sample.shape == (1, 4, 8, 8)
    assert not any("attentions" in name for name in unet.state_dict())


def test_a_mid_block_may_be_left_out(make_unet: MakeUNet, draw: Draw) -> None:
    unet = make_unet(mid_block_type=None)
    assert unet(draw(1, 4, 8, 8), 1, draw(1, 3, 12)).sample.shape == (1, 4, 8, 8)
    assert not any(name.startswith("mid_block") for name in unet.state_dict())


def test_a_prompt_may_be_projected_first(make_unet: MakeUNet, draw: Draw) -> None:
    unet, x, wide = make_unet(encoder_hid_dim=20), draw(1, 4, 8, 8), draw(1, 3, 20)
    plain = make_unet()
    plain.load_state_dict(unet.state_dict(), strict=False)
    assert isinstance(unet.encoder_hid_proj, nn.Linear)
    assert torch.equal(unet(x, 1, wide).sample, plain(x, 1, unet.encoder_hid_proj(wide)).sample)


def test_half_precision_in_and_out(make_unet: MakeUNet, draw: Draw) -> None:
    unet = make_unet(
        upcast_attention=True,
        class_embed_type="timestep",
        resnet_time_scale_shift="scale_shift",
        time_cond_proj_dim=2,
    ).to(torch.bfloat16)
    x, c, w = (t.bfloat16() for t in (draw(1, 4, 7, 8), draw(1, 3, 12), draw(1, 2)))
    mask = torch.ones(1, 3)
    found = unet(x, 9, c, torch.tensor([1]), timestep_cond=w, encoder_attention_mask=mask).sample
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()
