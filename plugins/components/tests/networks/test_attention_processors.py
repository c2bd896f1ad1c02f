"""Processors that compute attention layers: the user's own, and those that have a name."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.attaching.network_view import view_of, with_modules
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.networks import attention_processors as named
from autopipe_components.networks.attention import Attention
from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.networks.vq_model import VQModel

MakeUNet = Callable[..., UNet2DConditionModel]
Draw = Callable[..., Tensor]


class Halved:
    """Uses every member that processors read; its result is half of the usual one."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        strength: float = 1.0,
    ) -> Tensor:
        self.seen.append({"context": encoder_hidden_states, "strength": strength})
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        bias = attn.prepare_attention_mask(
            attention_mask, context.shape[1], len(context), out_dim=4
        )
        query, key, value = (
            attn.head_to_batch_dim(one, out_dim=4)
            for one in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        scores = query @ key.mT * attn.scale
        weights = (scores if bias is None else scores + bias).softmax(-1)
        mixed = attn.batch_to_head_dim((weights @ value).flatten(0, 1))
        return strength * attn.to_out[1](attn.to_out[0](mixed)) / 2


@pytest.fixture
def unet(make_unet: MakeUNet) -> UNet2DConditionModel:
    return make_unet()


@pytest.fixture
def given(draw: Draw) -> tuple[Any, ...]:
    return draw(2, 4, 8, 8), 5, draw(2, 3, 12)


NAMES = [n for n in vars(named) if n.endswith(("Processor", "2_0")) and n != "AttentionProcessor"]


@pytest.mark.parametrize("name", [n for n in NAMES if "Fused" not in n])
def test_those_by_name_give_the_usual_numbers(
    unet: UNet2DConditionModel, given: tuple[Any, ...], name: str
) -> None:
    usual = unet(*given).sample
    masked = unet(*given, encoder_attention_mask=torch.tensor([[1, 1, 0], [1, 0, 0]])).sample
    unet.set_attn_processor(getattr(named, name)())
    # The same sums in another order.
    torch.testing.assert_close(unet(*given).sample, usual, rtol=1e-4, atol=1e-5)
    found = unet(*given, encoder_attention_mask=torch.tensor([[1, 1, 0], [1, 0, 0]])).sample
    torch.testing.assert_close(found, masked, rtol=1e-4, atol=1e-5)


def test_one_of_the_user_computes_every_layer(
    unet: UNet2DConditionModel, given: tuple[Any, ...]
) -> None:
    usual, layers = unet(*given).sample, len(unet.attn_processors)
    mine = Halved()
    unet.set_attn_processor(mine)
    found = unet(*given).sample
    assert len(mine.seen) == layers
    assert not torch.allclose(found, usual, atol=1e-3)
    assert all(one is mine for one in unet.attn_processors.values())
    unet.set_default_attn_processor()
    assert torch.equal(unet(*given).sample, usual)


def test_a_dict_sets_layer_by_layer(unet: UNet2DConditionModel, given: tuple[Any, ...]) -> None:
    usual = unet(*given).sample
    mine = Halved()
    chosen = dict(unet.attn_processors)
    assert all(name.endswith(("attn1.processor", "attn2.processor")) for name in chosen)
    name = next(iter(chosen))
    unet.set_attn_processor({**chosen, name: mine})
    assert not torch.equal(unet(*given).sample, usual)
    assert len(mine.seen) == 1
    with pytest.raises(ArgumentError, match="a dict of 1 processors"):
        unet.set_attn_processor({name: mine})
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        unet.set_attn_processor({**chosen, "nowhere.processor": mine})
    with pytest.raises(ArgumentTypeError, match="give an object"):
        unet.set_attn_processor(Halved)
    assert unet.attn_processors[name] is mine


def test_options_reach_the_processors_that_name_them(
    unet: UNet2DConditionModel, given: tuple[Any, ...]
) -> None:
    with pytest.raises(ArgumentError, match="'strength', which no attention processor takes"):
        unet(*given, cross_attention_kwargs={"strength": 0.5})
    mine = Halved()
    name = next(iter(unet.attn_processors))
    unet.set_attn_processor({**unet.attn_processors, name: mine})
    unet(*given, cross_attention_kwargs={"strength": 0.5, "scale": 0.3})
    assert [one["strength"] for one in mine.seen] == [0.5]
    with pytest.raises(ArgumentError, match="mean 'strength'"):
        unet(*given, cross_attention_kwargs={"strenght": 0.5, "strength": 1})


def test_a_replaced_layer_may_take_options(
    unet: UNet2DConditionModel, given: tuple[Any, ...]
) -> None:
    seen = []

    def answer(layer: Any, hidden: Tensor, *inputs: Any, masks: Any = None) -> Tensor:
        seen.append(masks)
        return layer(hidden, *inputs)

    path = next(n for n, m in unet.named_modules() if isinstance(m, Attention))
    view = view_of(unet, [{path: answer}])
    view(*given, cross_attention_kwargs={"masks": 3})
    assert seen == [3]
    with pytest.raises(ArgumentError, match="'maks'"):
        view(*given, cross_attention_kwargs={"maks": 3})


def test_in_a_view_it_gets_the_layers_of_the_view(
    unet: UNet2DConditionModel, given: tuple[Any, ...]
) -> None:
    usual = unet(*given).sample
    path = next(n for n, m in unet.named_modules() if n.endswith("attn1.to_q"))
    view = view_of(unet, [{path: lambda layer, x: 3 * layer(x)}])
    expected = view(*given).sample
    view.set_attn_processor(named.AttnProcessor())
    torch.testing.assert_close(view(*given).sample, expected, rtol=1e-4, atol=1e-5)
    # It is a setting of the network behind the view.
    assert isinstance(unet.attn_processors[path.replace("to_q", "processor")], named.AttnProcessor)
    torch.testing.assert_close(unet(*given).sample, usual, rtol=1e-4, atol=1e-5)


def test_a_module_is_a_processor_with_weights(
    unet: UNet2DConditionModel, given: tuple[Any, ...]
) -> None:
    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, attn: Any, hidden_states: Tensor, **inputs: Any) -> Tensor:
            return self.gain * attn.compute(
                hidden_states, inputs["encoder_hidden_states"], inputs["attention_mask"]
            )

    usual, names = unet(*given).sample, set(unet.state_dict())
    unet.set_attn_processor({name: Trained() for name in unet.attn_processors})
    torch.testing.assert_close(unet(*given).sample, usual)
    added = set(unet.state_dict()) - names
    assert added == {f"{name}.gain" for name in unet.attn_processors}
    unet(*given).sample.sum().backward()
    assert all(one.gain.grad is not None for one in unet.attn_processors.values())
    unet.set_default_attn_processor()
    assert set(unet.state_dict()) == names


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_take_them_along(
    unet: UNet2DConditionModel, given: tuple[Any, ...], way: Callable[[Any], Any]
) -> None:
    unet.set_attn_processor(Halved())
    expected = unet(*given).sample
    assert torch.equal(way(unet)(*given).sample, expected)


def test_autoencoders_have_them(make_vae: Callable[..., AutoencoderKL], draw: Draw) -> None:
    vae, latents = make_vae(), draw(1, 4, 4, 4)
    usual = vae.decode(latents).sample
    assert [*vae.attn_processors] == [
        "encoder.mid_block.attentions.0.processor",
        "decoder.mid_block.attentions.0.processor",
    ]
    for processor in (named.AttnProcessor(), named.XFormersAttnProcessor()):
        vae.set_attn_processor(processor)
        torch.testing.assert_close(vae.decode(latents).sample, usual, rtol=1e-4, atol=1e-5)
    vae.set_attn_processor(lambda attn, hidden_states, **inputs: hidden_states)
    assert not torch.allclose(vae.decode(latents).sample, usual, atol=1e-3)


def test_spatial_norm_gets_the_latents(draw: Draw) -> None:
    torch.manual_seed(0)
    vae = VQModel(
        block_out_channels=(32,),
        down_block_types=("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",),
        norm_num_groups=32,
        norm_type="spatial",
    )
    latents = draw(1, 3, 4, 4)
    usual = vae.decode(latents, force_not_quantize=True).sample
    for processor in (named.AttnProcessor(), named.XFormersAttnProcessor()):
        vae.set_attn_processor(processor)
        found = vae.decode(latents, force_not_quantize=True).sample
        torch.testing.assert_close(found, usual, rtol=1e-4, atol=1e-5)


def test_added_keys_and_values(make_pixel_unet: MakeUNet, draw: Draw) -> None:
    unet = make_pixel_unet()
    given = draw(2, 3, 8, 8), 5, draw(2, 3, 12)
    usual = unet(*given).sample
    assert all("AddedKV" in type(one).__name__ for one in unet.attn_processors.values())
    unet.set_attn_processor(named.AttnAddedKVProcessor())
    assert torch.equal(unet(*given).sample, usual)
    unet.set_attn_processor(lambda attn, hidden_states, **inputs: hidden_states)
    assert not torch.allclose(unet(*given).sample, usual, atol=1e-3)
    with pytest.raises(ArgumentError, match="can't be fused"):
        unet.fuse_qkv_projections()


class TestFused:
    def test_it_gives_the_usual_numbers_and_saves_nothing_more(
        self, unet: UNet2DConditionModel, given: tuple[Any, ...]
    ) -> None:
        usual, names = unet(*given).sample, list(unet.state_dict())
        unet.fuse_qkv_projections()
        processors = unet.attn_processors.values()
        assert all(isinstance(one, named.FusedAttnProcessor2_0) for one in processors)
        torch.testing.assert_close(unet(*given).sample, usual, rtol=1e-4, atol=1e-5)
        assert list(unet.state_dict()) == names
        doubled = unet.double()(given[0].double(), 5, given[2].double()).sample
        torch.testing.assert_close(doubled.float(), usual, rtol=1e-4, atol=1e-5)
        unet.float().unfuse_qkv_projections()
        unet.unfuse_qkv_projections()
        assert torch.equal(unet(*given).sample, usual)
        assert not list(unet.buffers())

    def test_a_view_with_other_projections_is_not_ignored(
        self, unet: UNet2DConditionModel, given: tuple[Any, ...]
    ) -> None:
        paths = [n for n, m in unet.named_modules() if n.endswith(("to_q", "to_v"))]
        answers = {path: lambda layer, x: 1.5 * layer(x) for path in paths}
        expected = view_of(unet, [answers])(*given).sample
        unet.fuse_qkv_projections()
        found = view_of(unet, [answers])(*given).sample
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    def test_other_weights_in_its_place_are_not_ignored(
        self, unet: UNet2DConditionModel, given: tuple[Any, ...]
    ) -> None:
        paths = [n for n, m in unet.named_modules() if n.endswith("to_v")]
        others: dict[str, nn.Module] = {}
        for path in paths:
            others[path] = copy.deepcopy(unet.get_submodule(path))
            others[path].weight.data *= 1.5
        expected = with_modules(unet, others)(*given).sample
        unet.fuse_qkv_projections()
        found = with_modules(unet, others)(*given).sample
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        fused = copy.deepcopy(unet)
        assert torch.equal(fused(*given).sample, unet(*given).sample)

    def test_autoencoders_fuse_too(
        self, make_vae: Callable[..., AutoencoderKL], draw: Draw
    ) -> None:
        vae, latents = make_vae(), draw(1, 4, 4, 4)
        usual = vae.decode(latents).sample
        vae.fuse_qkv_projections()
        torch.testing.assert_close(vae.decode(latents).sample, usual, rtol=1e-4, atol=1e-5)

    def test_a_saved_network_loads_as_usual(
        self, unet: UNet2DConditionModel, given: tuple[Any, ...]
    ) -> None:
        usual = unet(*given).sample
        unet.fuse_qkv_projections()
        file = io.BytesIO()
        torch.save(unet.state_dict(), file)
        file.seek(0)
        unet.unfuse_qkv_projections()
        with torch.no_grad():
            for parameter in unet.parameters():
                parameter.zero_()
        unet.load_state_dict(torch.load(file))
        assert torch.equal(unet(*given).sample, usual)
