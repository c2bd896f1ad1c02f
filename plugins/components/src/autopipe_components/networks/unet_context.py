"""What attention looks at, made of the encoded prompt and of an embedded image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe.wording import shown

from .unet_additions import projected

# Tokens that an embedded image becomes: beside a prompt, and alone.
_TOKENS_BESIDE_TEXT = 10
_TOKENS_ALONE = 32
# What asks for an image, in the words of its error.
_TEXT_IMAGE = "encoder_hid_dim_type 'text_image_proj'"
_IMAGE = "encoder_hid_dim_type 'image_proj'"


class TextProjection(nn.Linear):
    """DeepFloyd IF's: the prompt at another width, (B, K, text) -> (B, K, context)."""

    def project(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """What attention takes, of the prompt and of what `added_cond_kwargs` holds."""
        tokens: Tensor = self(_needed(context))
        return tokens


class TextImageProjection(nn.Module):
    """Kandinsky 2.1's: tokens of an embedded image (B, I), then those of the prompt."""

    def __init__(self, text_dim: int, image_dim: int, context_dim: int) -> None:
        super().__init__()
        self.image_embeds = nn.Linear(image_dim, _TOKENS_BESIDE_TEXT * context_dim)
        self.text_proj = nn.Linear(text_dim, context_dim)

    def project(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """What attention takes, (B, 10 + K, context)."""
        image = projected(added, "image_embeds", self.image_embeds, _TEXT_IMAGE)
        text = self.text_proj(_needed(context))
        return torch.cat((torch.unflatten(image, -1, (_TOKENS_BESIDE_TEXT, -1)), text), dim=1)


class ImageProjection(nn.Module):
    """Kandinsky 2.2's: tokens of an embedded image (B, I), no prompt."""

    def __init__(self, image_dim: int, context_dim: int) -> None:
        super().__init__()
        self.image_embeds = nn.Linear(image_dim, _TOKENS_ALONE * context_dim)
        self.norm = nn.LayerNorm(context_dim)

    def project(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """What attention takes, (B, 32, context)."""
        image = projected(added, "image_embeds", self.image_embeds, _IMAGE)
        tokens: Tensor = self.norm(torch.unflatten(image, -1, (_TOKENS_ALONE, -1)))
        return tokens


ContextProjection = TextProjection | TextImageProjection | ImageProjection


def make_context_projection(config: Mapping[str, Any]) -> ContextProjection | None:
    """What makes the context of attention, or None where the encoded prompt is taken as it is."""
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
        # Checkpoints embed images at the width that attention takes.
        return TextImageProjection(width, image_dim=target, context_dim=target)
    if kind == "image_proj":
        return ImageProjection(width, context_dim=target)
    return TextProjection(width, target)


def _needed(context: Tensor | None) -> Tensor:
    if context is None:
        raise ArgumentError("this model projects a prompt: pass encoder_hidden_states")
    return context
