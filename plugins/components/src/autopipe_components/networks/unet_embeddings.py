"""The embedding of a sample's timestep and class, and of added conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.config import FrozenConfig
from autopipe.errors import ArgumentError, ConfigError
from autopipe.wording import shown

from .embeddings import FourierTimesteps, TimestepEmbedding, Timesteps, timesteps_of
from .unet_additions import AddedCondition


def make_time_projection(config: Mapping[str, Any]) -> tuple[nn.Module, int, int]:
    """Return the module that embeds timesteps, its output width, and the time embedding's width."""
    first = config["block_out_channels"][0]
    kind = config["time_embedding_type"]
    if kind == "positional":
        return _timesteps(first, config), first, config["time_embedding_dim"] or 4 * first
    if kind == "fourier":
        width = config["time_embedding_dim"] or 2 * first
        if width % 2:
            raise ConfigError(
                f"time_embedding_dim is {width}; 'fourier' embeddings need an even one"
            )
        flip = config["flip_sin_to_cos"]
        return FourierTimesteps(width // 2, flip_sin_to_cos=flip), width, width
    raise ConfigError(
        f"time_embedding_type is {shown(kind)}; 'positional' and 'fourier' are supported"
    )


class TimestepClassEmbedding(TimestepEmbedding):
    """Embeds class labels as if they were timesteps, (B,) -> (B, D)."""

    def __init__(
        self, in_channels: int, time_embed_dim: int, *, act_fn: str, projection: nn.Module
    ) -> None:
        super().__init__(in_channels, time_embed_dim, act_fn=act_fn)
        self.projection = projection

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(self.projection(sample).to(self.linear_1.weight.dtype), condition)


def make_class_embedding(
    config: Mapping[str, Any], *, time_input_dim: int, time_embed_dim: int
) -> nn.Module | None:
    """Return the module that embeds `class_labels` as (B, time_embed_dim); None without classes."""
    kind = config["class_embed_type"]
    if kind is None:
        count = config["num_class_embeds"]
        return None if count is None else nn.Embedding(count, time_embed_dim)
    if kind == "timestep":
        return TimestepClassEmbedding(
            time_input_dim,
            time_embed_dim,
            act_fn=config["act_fn"],
            projection=_timesteps(time_input_dim, config),
        )
    if kind == "identity":
        return nn.Identity()
    if kind == "projection":
        return TimestepEmbedding(_projection_input(config, "class_embed_type"), time_embed_dim)
    if kind == "simple_projection":
        return nn.Linear(_projection_input(config, "class_embed_type"), time_embed_dim)
    raise ConfigError(
        f"class_embed_type is {shown(kind)}; supported are None, 'timestep', 'identity', "
        "'projection' and 'simple_projection'"
    )


class TimeEmbedded:
    """A network that embeds timestep, classes and added conditions in one vector."""

    config: FrozenConfig
    time_proj: nn.Module
    time_embedding: TimestepEmbedding
    class_embedding: nn.Module | None
    add_embedding: AddedCondition | None

    def embed_time(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        *,
        timestep_cond: Tensor | None,
        class_labels: Tensor | None,
        context: Tensor | None,
        added: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """Return the embedding of each sample, (B, D), before the activation.

        Args:
            sample: the input of the network; its batch size, dtype and device are used.
            timestep: one for all samples, or a tensor (B,).
            timestep_cond: (B, C), if `time_embedding` takes it.
            class_labels: (B,), or (B, C) for projections.
            context: the encoded prompt, (B, K, C); None without a prompt.
            added: the inputs that `addition_embed_type` requires.

        Raises:
            ArgumentError: if an input that the config requires is missing, or a shape doesn't fit.
        """
        timesteps = timesteps_of(timestep, sample)
        waves = self.time_proj(timesteps).to(sample.dtype).expand(sample.shape[0], -1)
        time: Tensor = self.time_embedding(waves, timestep_cond)
        time = self._with_classes(time, class_labels)
        if self.add_embedding is None:
            return time
        addition = self.add_embedding.embed(context, added or {})
        if addition.shape[0] != sample.shape[0]:
            raise ArgumentError(
                f"added_cond_kwargs are for {addition.shape[0]} samples, but there are "
                f"{sample.shape[0]}; give one for each"
            )
        return time + addition.to(time.dtype)

    def _with_classes(self, time: Tensor, class_labels: Tensor | None) -> Tensor:
        if self.class_embedding is None:
            if class_labels is not None:
                raise ArgumentError("class_labels were given to a model without classes")
            return time
        if class_labels is None:
            raise ArgumentError(
                f"this model has class_embed_type {shown(self.config.class_embed_type)} and "
                f"num_class_embeds {self.config.num_class_embeds}: pass class_labels"
            )
        classes = self.class_embedding(class_labels).to(time.dtype)
        if self.config.get("class_embeddings_concat"):
            return torch.cat((time, classes), dim=-1)
        time = time + classes
        return time


def _timesteps(width: int, config: Mapping[str, Any]) -> Timesteps:
    return Timesteps(
        width,
        flip_sin_to_cos=config["flip_sin_to_cos"],
        downscale_freq_shift=config["freq_shift"],
    )


def _projection_input(config: Mapping[str, Any], name: str) -> int:
    width = config["projection_class_embeddings_input_dim"]
    if width is None:
        raise ConfigError(
            f"{name} {shown(config[name])} needs projection_class_embeddings_input_dim"
        )
    return int(width)
