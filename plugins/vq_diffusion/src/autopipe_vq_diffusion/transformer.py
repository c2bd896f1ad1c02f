"""The transformer that predicts the codes of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput
from autopipe.values import Range
from autopipe.wording import shown
from autopipe_components.networks.attention import Attention
from autopipe_components.networks.attentive import Attentive, attention_options
from autopipe_components.networks.checkpointing import Checkpointed
from autopipe_components.networks.embeddings import timesteps_of
from autopipe_components.networks.limits import LIMITS
from autopipe_components.networks.transformer import FeedForward


@dataclass
class Transformer2DModelOutput(BaseOutput):
    """`sample`: log probabilities of the classes but the mask, (B, classes - 1, pixels)."""

    sample: Tensor


class ClassEmbedding(nn.Module):
    """Embeds the classes of pixels, and their rows and columns in a square of `side` pixels."""

    def __init__(self, classes: int, side: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(classes, width)
        self.height_emb = nn.Embedding(side, width)
        self.width_emb = nn.Embedding(side, width)

    def forward(self, classes: Tensor, rows: int, columns: int) -> Tensor:
        """Return tokens (B, N, width) of `classes` (B, N), whose N pixels are `rows` x `columns`.

        The places are those of the upper left part of the square.
        """
        down, right = (torch.arange(count, device=classes.device) for count in (rows, columns))
        places = self.height_emb(down)[:, None] + self.width_emb(right)
        tokens: Tensor = self.emb(classes) + places.flatten(0, 1)
        return tokens


class AdaLayerNorm(nn.Module):
    """Layer norm whose scale and shift follow from the timestep."""

    def __init__(self, timesteps: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(timesteps, width)
        self.linear = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, tokens: Tensor, timesteps: Tensor) -> Tensor:
        """Normalise `tokens` (B, N, width) at `timesteps`, (1,) or (B,)."""
        modulation = self.linear(F.silu(self.emb(timesteps)))[:, None]
        scale, shift = modulation.chunk(2, dim=-1)
        normed: Tensor = self.norm(tokens) * (1 + scale) + shift
        return normed


class TransformerBlock(nn.Module):
    """One layer on (B, N, width): self-attention, attention to the prompt, feed-forward."""

    def __init__(self, width: int, config: Mapping[str, Any]) -> None:
        super().__init__()

        def attention(context_dim: int | None) -> Attention:
            layer = Attention(
                width,
                heads=config["num_attention_heads"],
                head_dim=config["attention_head_dim"],
                context_dim=context_dim,
                bias=config["attention_bias"],
                upcast=config["upcast_attention"],
            )
            layer.to_out[1] = nn.Dropout(config["dropout"])
            return layer

        timesteps = config["num_embeds_ada_norm"]
        self.norm1 = AdaLayerNorm(timesteps, width)
        self.attn1 = attention(None)
        self.norm2 = AdaLayerNorm(timesteps, width)
        self.attn2 = attention(config["cross_attention_dim"])
        self.norm3 = nn.LayerNorm(
            width, eps=config["norm_eps"], elementwise_affine=config["norm_elementwise_affine"]
        )
        self.ff = FeedForward(
            width, activation_fn=config["activation_fn"], dropout=config["dropout"]
        )

    def forward(
        self, tokens: Tensor, timesteps: Tensor, context: Tensor, options: Mapping[str, Any]
    ) -> Tensor:
        tokens = tokens + self.attn1(self.norm1(tokens, timesteps), **options)
        tokens = tokens + self.attn2(self.norm2(tokens, timesteps), context, **options)
        tokens = tokens + self.ff(self.norm3(tokens))
        return tokens


class Transformer2DModel(Attentive, Checkpointed, ModelMixin):
    """Predicts the clean classes of the pixels of a picture from noisy ones.

    In diffusers the class has two further forms: that for patches is `DiTTransformer2DModel` here,
    that for feature maps is a part of U-Nets.

    "Vector Quantized Diffusion Model for Text-to-Image Synthesis" (Gu et al. 2022,
    arXiv:2111.14822).

    Args:
        sample_size: rows, and columns, of pixels.
        num_vector_embeds: the number of classes, with the mask, which is the last one.
        num_embeds_ada_norm: the number of timesteps.
        norm_type: `"ada_norm"`; the first checkpoints have the default in its place.
        in_channels, patch_size, only_cross_attention, double_self_attention, attention_type: of
            other forms; only their defaults are supported.
        out_channels, norm_num_groups, use_linear_projection, caption_channels,
            interpolation_scale, use_additional_conditions: of other forms; not used.

    Raises:
        ConfigError: if the config is that of another form.
    """

    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "num_vector_embeds": Range(2, 1 << 24),
        "caption_channels": LIMITS["in_channels"],
        "interpolation_scale": Range(high=1e9, above=0),
    }
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 16,
        attention_head_dim: int = 88,
        in_channels: int | None = None,
        out_channels: int | None = None,
        num_layers: int = 1,
        dropout: float = 0.0,
        norm_num_groups: int = 32,
        cross_attention_dim: int | None = None,
        attention_bias: bool = False,
        sample_size: int | None = None,
        num_vector_embeds: int | None = None,
        patch_size: int | None = None,
        activation_fn: str = "geglu",
        num_embeds_ada_norm: int | None = None,
        use_linear_projection: bool = False,
        only_cross_attention: bool = False,
        double_self_attention: bool = False,
        upcast_attention: bool = False,
        norm_type: str = "layer_norm",
        norm_elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
        attention_type: str = "default",
        caption_channels: int | None = None,
        interpolation_scale: float | None = None,
        use_additional_conditions: bool | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "sample_size": sample_size,
            "num_vector_embeds": num_vector_embeds,
            "cross_attention_dim": cross_attention_dim,
            "num_embeds_ada_norm": num_embeds_ada_norm,
        }
        absent = [name for name, value in sizes.items() if value is None]
        if absent:
            raise ConfigError(
                f"{' and '.join(absent)} must be numbers: only the form of Transformer2DModel for "
                f"classes of pixels is supported; for patches use DiTTransformer2DModel"
            )
        others = {
            "in_channels": (in_channels, (None,)),
            "patch_size": (patch_size, (None,)),
            "only_cross_attention": (only_cross_attention, (False,)),
            "double_self_attention": (double_self_attention, (False,)),
            "attention_type": (attention_type, ("default",)),
            "norm_type": (norm_type, ("ada_norm", "layer_norm")),
        }
        for name, (value, known) in others.items():
            if value not in known:
                raise ConfigError(
                    f"{name} is {shown(value)}, and with num_vector_embeds only "
                    f"{' or '.join(map(repr, known))} is supported"
                )
        width = num_attention_heads * attention_head_dim
        assert sample_size is not None
        assert num_vector_embeds is not None
        self.height = self.width = sample_size
        self.num_latent_pixels = sample_size**2
        self.num_vector_embeds = num_vector_embeds
        self.latent_image_embedding = ClassEmbedding(num_vector_embeds, sample_size, width)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(width, self.config) for _ in range(num_layers)
        )
        self.norm_out = nn.LayerNorm(width)
        self.out = nn.Linear(width, num_vector_embeds - 1)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        timestep: Tensor | float | int | None = None,
        *,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        return_dict: bool = True,
        grid: tuple[int, int] | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict log probabilities of the clean classes, in float32.

        Args:
            hidden_states: the noisy classes, (B, pixels), int64.
            encoder_hidden_states: the encoded prompt, (B, K, cross_attention_dim).
            timestep: one for all samples, or a tensor (B,).
            cross_attention_kwargs: what attention processors of yours take.
            return_dict: if False, return `(prediction,)`.
            grid: rows and columns of pixels, each at most `sample_size`, which is the default.

        Raises:
            ArgumentError: if a shape or dtype doesn't fit.
        """
        options = attention_options(cross_attention_kwargs, self)
        rows, columns = grid or (self.height, self.width)
        self._check(hidden_states, rows, columns)
        timesteps = timesteps_of(timestep, hidden_states).long()  # type: ignore[arg-type]
        tokens = self.latent_image_embedding(hidden_states, rows, columns)
        for block in self.transformer_blocks:
            tokens = self.run(block, tokens, timesteps, encoder_hidden_states, options)
        # In double precision, as rounding decides which classes truncation keeps.
        logits = self.out(self.norm_out(tokens)).mT.double()
        predicted = logits.log_softmax(dim=1).float()
        return Transformer2DModelOutput(predicted) if return_dict else (predicted,)

    def _check(self, classes: Tensor, rows: int, columns: int) -> None:
        if not (0 < rows <= self.height and 0 < columns <= self.width):
            raise ArgumentError(
                f"grid is {rows} x {columns}; this model has places for {self.height} x "
                f"{self.width} pixels"
            )
        fits = isinstance(classes, Tensor) and classes.dtype == torch.int64 and classes.ndim == 2
        if not fits or classes.shape[1] != rows * columns or not len(classes):
            raise ArgumentError(
                f"hidden_states is {shown(classes)}; this model takes classes (B, "
                f"{rows * columns}) of int64"
            )
