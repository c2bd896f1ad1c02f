"""Methods about attention that all pipelines and networks have.

Torch's fused kernel computes all attention here, so those that choose another kernel do nothing.
"""

from __future__ import annotations

import functools
from typing import Any

from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.wording import logger

from .networks.attentive import Attentive

_log = logger(__name__)


def fuse_qkv_projections(self: DiffusionPipeline, unet: bool = True, vae: bool = True) -> None:
    """Compute the projections of each attention layer by one product; see `Attentive`.

    Args:
        unet: whether to do so in the U-Net.
        vae: whether to do so in the autoencoder.
    """
    for network in _attentive(self, unet=unet, vae=vae):
        network.fuse_qkv_projections()


def unfuse_qkv_projections(self: DiffusionPipeline, unet: bool = True, vae: bool = True) -> None:
    """Undo `fuse_qkv_projections`."""
    for network in _attentive(self, unet=unet, vae=vae):
        network.unfuse_qkv_projections()


def use_kernel(self: DiffusionPipeline | ModelMixin, *args: Any, **kwargs: Any) -> None:
    """Do nothing: torch's fused kernel computes all attention, and saves the same memory."""
    _say_once()


@functools.cache
def _say_once() -> None:
    _log.warning(
        "choosing a kernel for attention has no effect: torch's scaled_dot_product_attention "
        "computes all attention here, and takes as little memory as xFormers"
    )


def _attentive(pipe: DiffusionPipeline, **chosen: bool) -> list[Attentive]:
    found = [pipe.components.get(name) for name, wanted in chosen.items() if wanted]
    return [one for one in found if isinstance(one, Attentive)]
