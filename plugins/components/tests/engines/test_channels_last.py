"""Another layout and dtype, and fused projections, give what the network itself gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.attaching.engine import EngineRefusal
from autopipe.attaching.recorder import difference
from autopipe.errors import ArgumentError
from autopipe_components.engines.channels_last import ChannelsLast
from autopipe_components.networks.attention import Attention
from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.unet import UNet2DConditionModel


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
    ).eval()


INPUTS: tuple[Any, ...] = (torch.ones(2, 4, 8, 8), torch.tensor(5), torch.rand(2, 7, 16))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("fuse", [True, False])
def test_outputs_are_those_of_the_network(
    unet: UNet2DConditionModel, dtype: str | None, fuse: bool
) -> None:
    engine = ChannelsLast(dtype, fuse)
    before = {name: one.clone() for name, one in unet.state_dict().items()}
    found, expected = engine.prepare(unet, "forward")(*INPUTS), unet(*INPUTS)
    assert type(found) is type(expected)
    assert found.sample.dtype == torch.float32
    assert found.sample.is_contiguous()
    assert difference(found, expected) <= engine.tolerance
    assert (difference(found, expected) > 1e-4) is (dtype is not None)
    after = unet.state_dict()
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert all(after[name].stride() == one.stride() for name, one in before.items())


@torch.no_grad()
def test_fused_layers_use_fewer_multiplications(unet: UNet2DConditionModel) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        products = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.products += func.overloadpacket.__name__ in ("addmm", "mm")
            return func(*args, **(kwargs or {}))

    counts = []
    for fuse in (False, True):
        run = ChannelsLast(fuse=fuse).prepare(unet, "forward")
        with Counting() as counting:
            run(*INPUTS)
        counts.append(counting.products)
    layers = [one for one in unet.modules() if type(one) is Attention]
    saved = sum(2 if layer.context_dim is None else 1 for layer in layers)
    assert counts[0] - counts[1] == saved > 0


class Wrapped:
    """A result that torch doesn't know the parts of."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


class Wrapping(nn.Conv2d):
    def forward(self, image: Tensor) -> Wrapped:  # type: ignore[override]
        return Wrapped(super().forward(image))


@torch.no_grad()
def test_distributions_are_cast_and_what_can_not_be_is_refused() -> None:
    vae = AutoencoderKL(block_out_channels=(32,), sample_size=16).eval()
    image = torch.rand(1, 3, 16, 16)
    expected = vae.encode(image)
    for engine in (ChannelsLast(), ChannelsLast("bfloat16")):
        found = engine.prepare(vae, "encode")(image)
        assert found.latent_dist.mean.dtype == torch.float32
        assert difference(found, expected) <= engine.tolerance
    wrapping = Wrapping(3, 3, 1).eval()
    assert difference(ChannelsLast().prepare(wrapping, "forward")(image), wrapping(image)) < 1e-5
    with pytest.raises(EngineRefusal, match="its forward returns a Wrapped"):
        ChannelsLast("bfloat16").prepare(wrapping, "forward")(image)


def test_it_refuses_what_it_is_of_no_use_for() -> None:
    assert ChannelsLast().refuses("net", nn.Linear(2, 2)) is not None
    assert ChannelsLast("bfloat16").refuses("net", nn.Linear(2, 2)) is None
    assert ChannelsLast().refuses("net", nn.Conv2d(2, 2, 1, device="meta")) == "it has no weights"
    with pytest.raises(ArgumentError, match="'int8' is not bfloat16 or float16"):
        ChannelsLast("int8")
