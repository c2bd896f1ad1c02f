"""The methods that this package brings to pipelines and networks."""

from __future__ import annotations

from typing import Any

from torch import nn

from autopipe.attaching.network_view import origin_of
from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline

from .addon import FreeU
from .factors import Factors, Scaled, changes, why_not


def enable_freeu(self: DiffusionPipeline, s1: float, s2: float, b1: float, b2: float) -> None:
    """Switch FreeU on in this pipeline; see `FreeU`.

    Raises:
        ArgumentError, ArgumentTypeError: if the pipeline has no suitable U-Net, or a factor is not
            a number above 0.
    """
    factors = Factors(s1, s2, b1, b2)
    if FreeU.name in self.attachments:
        self.set_attachments({**self.attachments, FreeU.name: factors})
    else:
        self.attach(FreeU(), strength=factors)


def disable_freeu(self: DiffusionPipeline) -> None:
    """Switch FreeU off in this pipeline."""
    if self.attachments.get(FreeU.name):
        self.set_attachments({**self.attachments, FreeU.name: 0})


def enable_freeu_of_network(self: ModelMixin, s1: float, s2: float, b1: float, b2: float) -> None:
    """Switch FreeU on in this U-Net, for all pipelines that share it; see `FreeU`.

    Raises:
        ArgumentError, ArgumentTypeError: if the network is not a suitable U-Net, or a factor is not
            a number above 0.
    """
    factors, unet = Factors(s1, s2, b1, b2), origin_of(self)
    if (why := why_not(unet)) is not None:
        raise ArgumentError(f"FreeU needs a U-Net with up blocks of latent diffusion; {why}")
    _remove_hooks(unet)
    for path, scaled in changes(unet, factors):
        unet.get_submodule(path).register_forward_pre_hook(_Hook(scaled))


def disable_freeu_of_network(self: ModelMixin) -> None:
    """Switch FreeU off in this U-Net."""
    _remove_hooks(origin_of(self))


class _Hook:
    def __init__(self, scaled: Scaled) -> None:
        self.scaled = scaled

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *others = inputs
        return self.scaled.apply(hidden), *others


def _remove_hooks(network: nn.Module) -> None:
    for module in network.modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, _Hook):
                del module._forward_pre_hooks[key]
