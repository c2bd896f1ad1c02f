"""Conditions added to the time embedding of a U-Net: prompts, images, sizes, hints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe.wording import shown

from .embeddings import TimestepEmbedding, Timesteps

# The options that require an entry of `added_cond_kwargs`, as error messages name them.
_TEXT_TIME = "addition_embed_type 'text_time'"
_TEXT_IMAGE = "addition_embed_type 'text_image'"
_IMAGE = "addition_embed_type 'image'"
_IMAGE_HINT = "addition_embed_type 'image_hint'"

# Channels of the convolutions on a hint, of which the last three follow a halving of the size; and
# channels of their output.
_HINT_CHANNELS = (3, 16, 32, 96, 256)
_HINT_FEATURES = 4


class AddedCondition(nn.Module):
    """Computes an addition to the time embedding from further conditions.

    `extra_channels` is the number of channels that it adds to the input of the network.
    """

    extra_channels: int = 0

    def embed(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        """Return the addition (B, D), from the encoded prompt and `added_cond_kwargs`."""
        raise NotImplementedError

    def extend(self, sample: Tensor, added: Mapping[str, Tensor]) -> Tensor:
        """Return `sample` with `extra_channels` more channels."""
        return sample


class TextCondition(AddedCondition):
    """Embeds the encoded prompt (B, K, C), pooled, for DeepFloyd IF."""

    def __init__(self, text_dim: int, time_embed_dim: int, *, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(text_dim)
        self.pool = AttentionPooling(text_dim, heads=heads)
        self.proj = nn.Linear(text_dim, time_embed_dim)
        self.norm2 = nn.LayerNorm(time_embed_dim)

    def embed(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        if context is None:
            raise ArgumentError(
                "addition_embed_type 'text' pools a prompt: pass encoder_hidden_states"
            )
        addition: Tensor = self.norm2(self.proj(self.pool(self.norm1(context))))
        return addition


class AttentionPooling(nn.Module):
    """(B, K, C) -> (B, C): attention of the mean of all tokens to itself and to each token."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(
                f"addition_embed_type_num_heads is {heads}, which doesn't divide the width {width} "
                "of the encoded prompt"
            )
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(1, width) / width**0.5)
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        first = tokens.mean(dim=1, keepdim=True) + self.positional_embedding.to(tokens.dtype)
        tokens = torch.cat((first, tokens), dim=1)
        query, key, value = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in (self.q_proj(first), self.k_proj(tokens), self.v_proj(tokens))
        )
        return F.scaled_dot_product_attention(query, key, value).flatten(1)


class TextTimeCondition(TimestepEmbedding, AddedCondition):
    """Embeds the pooled prompt (B, P) and six numbers of sizes and crops (B, 6), for SDXL."""

    def __init__(self, in_channels: int, time_embed_dim: int, *, id_embedding: Timesteps) -> None:
        super().__init__(in_channels, time_embed_dim)
        self.id_embedding = id_embedding

    def embed(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        text = required(added, "text_embeds", _TEXT_TIME)
        ids = self.id_embedding(required(added, "time_ids", _TEXT_TIME).flatten())
        vector = torch.cat((text, ids.reshape(text.shape[0], -1)), dim=-1)
        expected = self.linear_1.in_features
        if vector.shape[-1] != expected:
            raise ArgumentError(
                f"text_embeds and time_ids make a vector of {vector.shape[-1]} numbers, the model "
                f"takes {expected}; text_embeds is {tuple(text.shape)}, {ids.shape[0]} time_ids"
            )
        embedded: Tensor = self(vector.to(self.linear_1.weight.dtype))
        return embedded


class TextImageCondition(AddedCondition):
    """Embeds a pooled prompt (B, T) and an embedded image (B, I), for Kandinsky 2.1."""

    def __init__(self, text_dim: int, image_dim: int, time_embed_dim: int) -> None:
        super().__init__()
        self.text_proj = nn.Linear(text_dim, time_embed_dim)
        self.text_norm = nn.LayerNorm(time_embed_dim)
        self.image_proj = nn.Linear(image_dim, time_embed_dim)

    def embed(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        image = projected(added, "image_embeds", self.image_proj, _TEXT_IMAGE)
        text = projected(added, "text_embeds", self.text_proj, _TEXT_IMAGE)
        embedded: Tensor = image + self.text_norm(text)
        return embedded


class ImageCondition(AddedCondition):
    """Projects an embedded image (B, I), for Kandinsky 2.2."""

    required_by = _IMAGE

    def __init__(self, image_dim: int, time_embed_dim: int) -> None:
        super().__init__()
        self.image_proj = nn.Linear(image_dim, time_embed_dim)
        self.image_norm = nn.LayerNorm(time_embed_dim)

    def embed(self, context: Tensor | None, added: Mapping[str, Tensor]) -> Tensor:
        image = projected(added, "image_embeds", self.image_proj, self.required_by)
        addition: Tensor = self.image_norm(image)
        return addition


class ImageHintCondition(ImageCondition):
    """Projects an embedded image and a hint, such as a depth map, for Kandinsky 2.2 with control.

    The hint (B, 3, 8 * H, 8 * W) becomes further channels of the input (B, C, H, W).
    """

    extra_channels = _HINT_FEATURES
    required_by = _IMAGE_HINT

    def __init__(self, image_dim: int, time_embed_dim: int) -> None:
        super().__init__(image_dim, time_embed_dim)
        self.input_hint_block = _hint_block()

    def extend(self, sample: Tensor, added: Mapping[str, Tensor]) -> Tensor:
        hint = required(added, "hint", self.required_by)
        channels, batch = _HINT_CHANNELS[0], sample.shape[0]
        if hint.ndim != 4 or hint.shape[:2] != (batch, channels):
            raise ArgumentError(
                f"hint has shape {tuple(hint.shape)}, but this model takes {channels} channels "
                f"and was given {batch} samples: ({batch}, {channels}, H, W)"
            )
        features = self.input_hint_block(hint.to(sample.dtype))
        if features.shape[-2:] != sample.shape[-2:]:
            raise ArgumentError(
                f"a hint of {tuple(hint.shape[-2:])} (height, width) gives features of "
                f"{tuple(features.shape[-2:])} and the sample is {tuple(sample.shape[-2:])}; "
                "a hint is 8 times as large as the sample"
            )
        return torch.cat((sample, features), dim=1)


def make_addition_embedding(
    config: Mapping[str, Any], *, time_embed_dim: int
) -> AddedCondition | None:
    """Return the module that computes the addition from `added_cond_kwargs`, or None."""
    kind = config["addition_embed_type"]
    if kind is None:
        return None
    if kind not in _MAKERS:
        supported = ", ".join(map(repr, _MAKERS))
        raise ConfigError(f"addition_embed_type is {shown(kind)}; supported are None, {supported}")
    return _MAKERS[kind](config, time_embed_dim)


def _text(config: Mapping[str, Any], time_embed_dim: int) -> AddedCondition:
    projected_first = config["encoder_hid_dim"] is not None
    width = _required_width(config, "encoder_hid_dim" if projected_first else "cross_attention_dim")
    return TextCondition(width, time_embed_dim, heads=config["addition_embed_type_num_heads"])


def _text_time(config: Mapping[str, Any], time_embed_dim: int) -> AddedCondition:
    ids = Timesteps(
        _required_width(config, "addition_time_embed_dim"),
        flip_sin_to_cos=config["flip_sin_to_cos"],
        downscale_freq_shift=config["freq_shift"],
    )
    inputs = _required_width(config, "projection_class_embeddings_input_dim")
    return TextTimeCondition(inputs, time_embed_dim, id_embedding=ids)


def _text_image(config: Mapping[str, Any], time_embed_dim: int) -> AddedCondition:
    # In checkpoints the embeddings of text and image are as wide as the context.
    width = _required_width(config, "cross_attention_dim")
    return TextImageCondition(width, width, time_embed_dim)


def _image(config: Mapping[str, Any], time_embed_dim: int) -> AddedCondition:
    return ImageCondition(_required_width(config, "encoder_hid_dim"), time_embed_dim)


def _image_hint(config: Mapping[str, Any], time_embed_dim: int) -> AddedCondition:
    return ImageHintCondition(_required_width(config, "encoder_hid_dim"), time_embed_dim)


_MAKERS: dict[str, Callable[[Mapping[str, Any], int], AddedCondition]] = {
    "text": _text,
    "text_time": _text_time,
    "text_image": _text_image,
    "image": _image,
    "image_hint": _image_hint,
}


def required(added: Mapping[str, Tensor], name: str, required_by: str) -> Tensor:
    """Return `added[name]`, which a model with the option `required_by` needs.

    Raises:
        ArgumentError: if the entry is missing.
    """
    try:
        return added[name]
    except KeyError:
        raise ArgumentError(
            f"this model has {required_by}: pass {shown(name)} in added_cond_kwargs, "
            f"which has {sorted(added)}"
        ) from None


def projected(added: Mapping[str, Tensor], name: str, layer: nn.Linear, required_by: str) -> Tensor:
    """Return `layer` applied to the vectors `added[name]`, (B, D).

    Raises:
        ArgumentError: if the vectors are missing, or have another width.
    """
    vectors = required(added, name, required_by)
    if vectors.ndim != 2 or vectors.shape[1] != layer.in_features:
        raise ArgumentError(
            f"{name} has shape {tuple(vectors.shape)}, but this model has {required_by} and takes "
            f"(B, {layer.in_features})"
        )
    made: Tensor = layer(vectors.to(layer.weight.dtype))
    return made


def _hint_block() -> nn.Sequential:
    channels, first, *_, last = _HINT_CHANNELS
    layers = [_conv(channels, first), nn.SiLU()]
    for wide, wider in pairwise(_HINT_CHANNELS[1:]):
        layers += [_conv(wide, wide), nn.SiLU(), _conv(wide, wider, stride=2), nn.SiLU()]
    return nn.Sequential(*layers, _conv(last, _HINT_FEATURES))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, stride=stride)


def _required_width(config: Mapping[str, Any], name: str) -> int:
    """Return the config entry `name`, a width that this kind of condition requires."""
    width, required_by = config[name], f"addition_embed_type {shown(config['addition_embed_type'])}"
    if width is None:
        raise ConfigError(f"{required_by} needs {name}")
    if not isinstance(width, int):
        raise ConfigError(f"{name} is {width}; {required_by} needs a single one")
    return width
