"""The context of cross-attention, from the encoded prompt and an embedded image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe.wording import shown

from .unet_additions import projected

# The number of tokens for an embedded image: together with a prompt, and alone.
_TOKENS_BESIDE_TEXT = 10
_TOKENS_ALONE = 32
# The options that require an image, as error messages name them.
_TEXT_IMAGE = "encoder_hid_dim_type 'text_image_proj'"
_IMAGE = "encoder_hid_dim_type 'image_proj'"


class TextProjection(nn.Linear):
    """Projects the prompt to another width, (B, K, text) -> (B, K, context), for DeepFloyd IF."""

    def project(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """Return the context, from the encoded prompt and `added_cond_kwargs`."""
        tokens: Tensor = self(_require_context(context))
        return tokens


class TextImageProjection(nn.Module):
    """Puts tokens of an embedded image (B, I) before those of the prompt, for Kandinsky 2.1."""

    def __init__(self, text_dim: int, image_dim: int, context_dim: int) -> None:
        super().__init__()
        self.image_embeds = nn.Linear(image_dim, _TOKENS_BESIDE_TEXT * context_dim)
        self.text_proj = nn.Linear(text_dim, context_dim)

    def project(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """Return the context (B, 10 + K, context)."""
        image = projected(added, "image_embeds", self.image_embeds, _TEXT_IMAGE)
        text = self.text_proj(_require_context(context))
        return torch.cat((torch.unflatten(image, -1, (_TOKENS_BESIDE_TEXT, -1)), text), dim=1)


class ImageProjection(nn.Module):
    """Projects an embedded image (B, I) to tokens, without a prompt, for Kandinsky 2.2."""

    def __init__(self, image_dim: int, context_dim: int) -> None:
        super().__init__()
        self.image_embeds = nn.Linear(image_dim, _TOKENS_ALONE * context_dim)
        self.norm = nn.LayerNorm(context_dim)

    def project(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """Return the context (B, 32, context)."""
        image = projected(added, "image_embeds", self.image_embeds, _IMAGE)
        tokens: Tensor = self.norm(torch.unflatten(image, -1, (_TOKENS_ALONE, -1)))
        return tokens


ContextProjection = TextProjection | TextImageProjection | ImageProjection


def make_context_projection(config: Mapping[str, Any]) -> ContextProjection | None:
    """Return the projection that computes the context; None to use the prompt unchanged."""
    kind, width = config["encoder_hid_dim_type"], config["encoder_hid_dim"]
    if kind is None and width is None:
        return None
    if kind not in (None, "text_proj", "text_image_proj", "image_proj"):
        raise ConfigError(
            f"encoder_hid_dim_type is {shown(kind)}; supported are None, 'text_proj', "
            "'text_image_proj' and 'image_proj'"
        )
    if width is None:
        raise ConfigError(f"encoder_hid_dim_type {shown(kind)} needs encoder_hid_dim")
    target = config["cross_attention_dim"]
    if not isinstance(target, int):
        raise ConfigError(f"cross_attention_dim is {target}; encoder_hid_dim needs a single one")
    if kind == "text_image_proj":
        # In checkpoints the embedding of an image is as wide as the context.
        return TextImageProjection(width, image_dim=target, context_dim=target)
    if kind == "image_proj":
        return ImageProjection(width, context_dim=target)
    return TextProjection(width, target)


def _require_context(context: Tensor | None) -> Tensor:
    if context is None:
        raise ArgumentError("this model projects a prompt: pass encoder_hidden_states")
    return context
