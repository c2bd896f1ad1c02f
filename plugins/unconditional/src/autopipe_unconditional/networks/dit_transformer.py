"""The transformer that denoises the latents of a class of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput
from autopipe.wording import shown
from autopipe_components.dit.patches import PatchEmbed, join_patches
from autopipe_components.networks.attention import Attention
from autopipe_components.networks.attentive import Attentive, attention_options
from autopipe_components.networks.checkpointing import Checkpointed
from autopipe_components.networks.embeddings import TimestepEmbedding, Timesteps, timesteps_of
from autopipe_components.networks.limits import LIMITS
from autopipe_components.networks.transformer import FeedForward

_TIME_WIDTH = 256
_LABELS_DROPPED = 0.1
"""The part of the labels that training replaces by the class of none."""


@dataclass
class DiTTransformer2DModelOutput(BaseOutput):
    """`sample`: the prediction, (B, out_channels, H, W)."""

    sample: Tensor


class LabelEmbedding(nn.Module):
    """Embeds class labels, (B,) -> (B, width). The class after the last one is that of none."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, labels: Tensor) -> Tensor:
        embedded: Tensor = self.embedding_table(labels)
        return embedded


class TimeAndLabel(nn.Module):
    """Embeds timesteps and class labels, (B,) and (B,) -> (B, width)."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.time_proj = Timesteps(_TIME_WIDTH, flip_sin_to_cos=True, downscale_freq_shift=1)
        self.timestep_embedder = TimestepEmbedding(_TIME_WIDTH, width)
        self.class_embedder = LabelEmbedding(classes, width)

    def forward(self, timesteps: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor:
        time = self.timestep_embedder(self.time_proj(timesteps).to(dtype))
        summed: Tensor = time + self.class_embedder(labels)
        return summed


class AdaLayerNormZero(nn.Module):
    """Predicts shift, scale and gate of the two parts of a layer, from timestep and label."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.emb = TimeAndLabel(classes, width)
        self.linear = nn.Linear(width, 6 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)

    def forward(self, timesteps: Tensor, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Return six tensors (B, 1, width): shift, scale and gate, of attention and feed-forward.

        Args:
            timesteps, labels: (B,).
            dtype: that of the tokens.
        """
        modulation = self.linear(F.silu(self.emb(timesteps, labels, dtype)))
        split: tuple[Tensor, ...] = modulation[:, None].chunk(6, dim=2)
        return split


class DiTBlock(nn.Module):
    """One layer on (B, N, width): gated self-attention, then a gated feed-forward layer."""

    def __init__(self, width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.norm1 = AdaLayerNormZero(config["num_embeds_ada_norm"], width)
        self.attn1 = Attention(
            width,
            heads=config["num_attention_heads"],
            head_dim=config["attention_head_dim"],
            bias=config["attention_bias"],
            upcast=config["upcast_attention"],
        )
        self.attn1.to_out[1] = nn.Dropout(config["dropout"])
        self.norm3 = nn.LayerNorm(
            width, eps=config["norm_eps"], elementwise_affine=config["norm_elementwise_affine"]
        )
        self.ff = FeedForward(
            width, activation_fn=config["activation_fn"], dropout=config["dropout"]
        )

    def forward(
        self, tokens: Tensor, timesteps: Tensor, labels: Tensor, options: Mapping[str, Any]
    ) -> Tensor:
        shift, scale, gate, ff_shift, ff_scale, ff_gate = self.norm1(
            timesteps, labels, tokens.dtype
        )
        attended = self.attn1(self.norm1.norm(tokens) * (1 + scale) + shift, **options)
        tokens = tokens + gate * attended
        normed = self.norm3(tokens) * (1 + ff_scale) + ff_shift
        tokens = tokens + ff_gate * self.ff(normed)
        return tokens


class DiTTransformer2DModel(Attentive, Checkpointed, ModelMixin):
    """Predicts the noise in latents of a class of images, and possibly its variance.

    Latents become a sequence of patches. Timestep and class act by shifting and scaling what the
    layers normalise, and by gating what they add (adaLN-Zero).

    "Scalable Diffusion Models with Transformers" (Peebles and Xie, 2023, arXiv:2212.09748).

    Args:
        num_embeds_ada_norm: the number of classes. The label after the last one means no class.
        out_channels: by default `in_channels`; twice as many if the variance is predicted.
        norm_num_groups: not used; published configs have it.
    """

    config_limits = LIMITS
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 16,
        attention_head_dim: int = 72,
        in_channels: int = 4,
        out_channels: int | None = None,
        num_layers: int = 28,
        dropout: float = 0.0,
        norm_num_groups: int = 32,
        attention_bias: bool = True,
        sample_size: int = 32,
        patch_size: int = 2,
        activation_fn: str = "gelu-approximate",
        num_embeds_ada_norm: int | None = 1000,
        upcast_attention: bool = False,
        norm_type: str = "ada_norm_zero",
        norm_elementwise_affine: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if norm_type != "ada_norm_zero":
            raise ConfigError(f"norm_type is {shown(norm_type)}; only 'ada_norm_zero' is supported")
        if num_embeds_ada_norm is None:
            raise ConfigError("num_embeds_ada_norm is None; give the number of classes")
        width = num_attention_heads * attention_head_dim
        self.pos_embed = PatchEmbed(
            side=sample_size, patch=patch_size, channels=in_channels, width=width
        )
        self.transformer_blocks = nn.ModuleList(
            DiTBlock(width, self.config) for _ in range(num_layers)
        )
        self.norm_out = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.proj_out_1 = nn.Linear(width, 2 * width)
        self.proj_out_2 = nn.Linear(width, patch_size**2 * (out_channels or in_channels))

    @property
    def class_embedding(self) -> LabelEmbedding:
        """The embedding of class labels in the first layer."""
        embedding: LabelEmbedding = self._condition.class_embedder
        return embedding

    @property
    def _condition(self) -> Any:
        """The embedding of timestep and label that also acts on the output."""
        first: Any = self.transformer_blocks[0]
        return first.norm1.emb

    @property
    def sample_width(self) -> int:
        """The channels for each cell of the latents; see `autopipe.placement.room`."""
        config = self.config
        width = config.num_attention_heads * config.attention_head_dim
        return int(width // config.patch_size**2)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor | float | int | None = None,
        class_labels: Tensor | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        return_dict: bool = True,
    ) -> DiTTransformer2DModelOutput | tuple[Tensor]:
        """Predict the noise in latents of images of a class.

        In training mode, a tenth of the labels is replaced by that of no class, for guidance.

        Args:
            hidden_states: (B, in_channels, H, W); H and W are multiples of `patch_size`.
            timestep: one for all samples, or a tensor (B,).
            class_labels: whole numbers (B,), from 0 to `num_embeds_ada_norm`.
            cross_attention_kwargs: what attention processors of yours take.
            return_dict: if False, return `(prediction,)`.

        Raises:
            ArgumentError: if a shape doesn't fit, or timestep or labels are missing.
        """
        options = attention_options(cross_attention_kwargs, self)
        self._check(hidden_states)
        batch, patch = hidden_states.shape[0], self.config.patch_size
        timesteps = timesteps_of(timestep, hidden_states).expand(batch)  # type: ignore[arg-type]
        labels = self._labels(class_labels, batch).to(hidden_states.device)
        tokens = self.pos_embed(hidden_states)
        for block in self.transformer_blocks:
            tokens = self.run(block, tokens, timesteps, labels, options)
        condition = self._condition(timesteps, labels, tokens.dtype)
        shift, scale = self.proj_out_1(F.silu(condition))[:, None].chunk(2, dim=2)
        patches = self.proj_out_2(self.norm_out(tokens) * (1 + scale) + shift)
        rows, columns = (side // patch for side in hidden_states.shape[-2:])
        predicted = join_patches(patches, rows, columns, patch)
        return DiTTransformer2DModelOutput(predicted) if return_dict else (predicted,)

    def _check(self, sample: Tensor) -> None:
        channels, patch = self.config.in_channels, self.config.patch_size
        fits = isinstance(sample, Tensor) and sample.ndim == 4 and sample.shape[1] == channels
        if not fits or any(side % patch or not side for side in sample.shape[-2:]):
            raise ArgumentError(
                f"hidden_states is {shown(sample)}; this model takes a tensor (B, {channels}, H, "
                f"W), with H and W divisible by {patch}"
            )

    def _labels(self, labels: Tensor | None, batch: int) -> Tensor:
        """Return the labels, some of them replaced by that of no class in training mode.

        Raises:
            ArgumentError: if they aren't whole numbers (`batch`,).
        """
        fits = isinstance(labels, Tensor) and tuple(labels.shape) == (batch,)
        if labels is None or not fits or labels.is_floating_point():
            raise ArgumentError(
                f"class_labels is {shown(labels)}; this model takes a tensor of whole numbers, one "
                f"for each of the {batch} samples"
            )
        if not self.training:
            return labels
        dropped = torch.rand(batch, device=labels.device) < _LABELS_DROPPED
        return torch.where(dropped, self.config.num_embeds_ada_norm, labels)
