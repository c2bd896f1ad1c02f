"""The transformer that predicts the CLIP embedding of an image from that of a text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin, entry_point
from autopipe.outputs import BaseOutput
from autopipe.wording import shown

from .attention import Attention
from .attentive import Attentive
from .conditioning import mask_to_bias
from .embeddings import TimestepEmbedding, Timesteps, timesteps_of
from .limits import LIMITS
from .transformer import FeedForward


@dataclass
class PriorTransformerOutput(BaseOutput):
    """`predicted_image_embedding`: (B, clip_embed_dim), or (B, N, clip_embed_dim)."""

    predicted_image_embedding: Tensor


class PriorTransformerBlock(nn.Module):
    """One layer on (B, N, width): self-attention, then feed-forward."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads=heads, head_dim=width // heads, bias=True)
        self.dropout = nn.Dropout(dropout)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, activation_fn="gelu", dropout=dropout)

    def forward(self, tokens: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the layer; `bias`, (B, N, N) or (1, N, N), is added to the attention scores."""
        tokens = tokens + self.dropout(self.attn1(self.norm1(tokens), attention_mask=bias))
        tokens = tokens + self.ff(self.norm3(tokens))
        return tokens


class PriorTransformer(Attentive, ModelMixin):
    """Predicts a clean image embedding from a noisy one, a timestep and a text.

    Its sequence consists of the tokens of the text (`num_embeddings`), the embedding of the text,
    the timestep, the noisy image embedding, and a learned token whose output is the prediction
    (`added_emb_type="prd"`; without it the prediction is the output of the noisy embedding).

    Image embeddings are normalised with their statistics `clip_mean` and `clip_std`;
    `post_process_latents` reverses that.

    "Hierarchical Text-Conditional Image Generation with CLIP Latents" (Ramesh et al., 2022).

    Raises:
        ConfigError: if a value is not supported.
    """

    causal_attention_mask: Tensor

    config_limits = LIMITS

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 32,
        attention_head_dim: int = 64,
        num_layers: int = 20,
        embedding_dim: int = 768,
        num_embeddings: int = 77,
        additional_embeddings: int = 4,
        dropout: float = 0.0,
        time_embed_act_fn: str = "silu",
        norm_in_type: str | None = None,
        embedding_proj_norm_type: str | None = None,
        encoder_hid_proj_type: str | None = "linear",
        added_emb_type: str | None = "prd",
        time_embed_dim: int | None = None,
        embedding_proj_dim: int | None = None,
        clip_embed_dim: int | None = None,
    ) -> None:
        super().__init__()
        _check("norm_in_type", norm_in_type, "layer")
        _check("embedding_proj_norm_type", embedding_proj_norm_type, "layer")
        _check("encoder_hid_proj_type", encoder_hid_proj_type, "linear")
        _check("added_emb_type", added_emb_type, "prd")
        width = num_attention_heads * attention_head_dim
        length = num_embeddings + additional_embeddings
        text_dim, image_dim = embedding_proj_dim or embedding_dim, clip_embed_dim or embedding_dim

        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(
            width,
            time_embed_dim or width,
            act_fn=time_embed_act_fn,
            out_dim=width,
            entry="time_embed_act_fn",
        )
        self.proj_in = nn.Linear(embedding_dim, width)
        self.embedding_proj_norm = nn.LayerNorm(text_dim) if embedding_proj_norm_type else None
        self.embedding_proj = nn.Linear(text_dim, width)
        self.encoder_hidden_states_proj = (
            nn.Linear(embedding_dim, width) if encoder_hid_proj_type else None
        )
        self.positional_embedding = nn.Parameter(torch.zeros(1, length, width))
        self.prd_embedding = nn.Parameter(torch.zeros(1, 1, width)) if added_emb_type else None
        self.norm_in = nn.LayerNorm(width) if norm_in_type else None
        self.transformer_blocks = nn.ModuleList(
            PriorTransformerBlock(width, heads=num_attention_heads, dropout=dropout)
            for _ in range(num_layers)
        )
        self.norm_out = nn.LayerNorm(width)
        self.proj_to_clip_embeddings = nn.Linear(width, image_dim)
        self.register_buffer(
            "causal_attention_mask",
            torch.full((1, length, length), -10000.0).triu(1),
            persistent=False,
        )
        self.clip_mean = nn.Parameter(torch.zeros(1, image_dim))
        self.clip_std = nn.Parameter(torch.zeros(1, image_dim))

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor | float | int,
        proj_embedding: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_dict: bool = True,
    ) -> PriorTransformerOutput | tuple[Tensor]:
        """Predict the clean image embedding.

        Args:
            hidden_states: the noisy image embedding, (B, embedding_dim), or several per sample,
                (B, N, embedding_dim).
            timestep: one for all samples, or a tensor (B,).
            proj_embedding: the text's embedding, (B, embedding_proj_dim).
            encoder_hidden_states: the text's tokens, (B, num_embeddings, embedding_dim).
            attention_mask: (B, num_embeddings), 1 for tokens to attend to. With it attention is
                causal: tokens attend only to earlier ones.
            return_dict: if False, return a tuple.

        Raises:
            ArgumentError: if an input is missing, or a shape doesn't fit.
        """
        condition = self._condition(hidden_states, timestep, proj_embedding, encoder_hidden_states)
        tokens = [condition, self.proj_in(_row(hidden_states))]
        if self.prd_embedding is not None:
            tokens.append(self.prd_embedding.expand(hidden_states.shape[0], -1, -1))
        hidden = self._with_positions(torch.cat(tokens, dim=1), before=condition.shape[1])
        bias = self._bias(attention_mask, hidden)
        if self.norm_in is not None:
            hidden = self.norm_in(hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden, bias)
        hidden = self.norm_out(hidden)
        predicting = (
            hidden[:, condition.shape[1] :] if self.prd_embedding is None else hidden[:, -1]
        )
        predicted: Tensor = self.proj_to_clip_embeddings(predicting)
        return PriorTransformerOutput(predicted) if return_dict else (predicted,)

    @entry_point
    def post_process_latents(self, prior_latents: Tensor) -> Tensor:
        """Undo the normalisation of image embeddings, (..., clip_embed_dim)."""
        device = prior_latents.device
        return prior_latents * self.clip_std.to(device) + self.clip_mean.to(device)

    def _condition(
        self,
        noisy: Tensor,
        timestep: Tensor | float | int,
        text_embedding: Tensor,
        text: Tensor | None,
    ) -> Tensor:
        """Return the tokens before the noisy embedding: text, its embedding, the timestep."""
        widths = {
            "hidden_states": (noisy, self.config.embedding_dim),
            "proj_embedding": (text_embedding, self.config.embedding_proj_dim),
        }
        for name, (given, width) in widths.items():
            width = width or self.config.embedding_dim
            if not isinstance(given, Tensor) or given.ndim < 2 or given.shape[-1] != width:
                raise ArgumentError(
                    f"{name} must be a tensor (B, {width}) for this prior, not {shown(given)}"
                )
        waves = self.time_proj(timesteps_of(timestep, noisy)).to(noisy.dtype)
        time = self.time_embedding(waves).expand(noisy.shape[0], -1)
        if self.embedding_proj_norm is not None:
            text_embedding = self.embedding_proj_norm(text_embedding)
        condition = [_row(self.embedding_proj(text_embedding)), _row(time)]
        if self.encoder_hidden_states_proj is not None:
            if text is None:
                raise ArgumentError(
                    "this prior attends to the tokens of a text: pass encoder_hidden_states, "
                    f"({noisy.shape[0]}, {self.config.num_embeddings}, "
                    f"{self.config.embedding_dim})"
                )
            text = self.encoder_hidden_states_proj(text)
        if text is not None:
            condition.insert(0, text)
        return torch.cat(condition, dim=1)

    def _with_positions(self, tokens: Tensor, before: int) -> Tensor:
        """Return `tokens` with positional embeddings; the first `before` precede the noisy ones.

        Priors that predict many embeddings may have positional embeddings only for those.
        """
        positions: Tensor = self.positional_embedding
        if positions.shape[1] < tokens.shape[1]:
            after = 0 if self.prd_embedding is None else 1
            positions = F.pad(positions, (0, 0, before, after))
        if positions.shape[1] != tokens.shape[1]:
            raise ArgumentError(
                f"the prior was given {tokens.shape[1]} tokens and has positions for "
                f"{self.positional_embedding.shape[1]}; encoder_hidden_states should be "
                f"(B, {self.config.num_embeddings}, {self.config.embedding_dim})"
            )
        return tokens + positions

    def _bias(self, mask: Tensor | None, tokens: Tensor) -> Tensor | None:
        """Return the bias for attention scores, (B, N, N); None without a `mask`."""
        bias = mask_to_bias(mask, tokens)
        if bias is None:
            return None
        if bias.shape[-1] + self.config.additional_embeddings != tokens.shape[1]:
            raise ArgumentError(
                f"attention_mask is for {bias.shape[-1]} tokens of text, but this prior takes "
                f"{tokens.shape[1] - self.config.additional_embeddings}"
            )
        causal = self.causal_attention_mask.to(tokens)
        return F.pad(bias, (0, self.config.additional_embeddings)) + causal


def _row(vectors: Tensor) -> Tensor:
    """Return (B, C) as sequences of one token, (B, 1, C), and (B, N, C) unchanged."""
    return vectors[:, None] if vectors.ndim == 2 else vectors


def _check(option: str, value: str | None, supported: str) -> None:
    if value not in (None, supported):
        raise ConfigError(f"{option} is {shown(value)}; supported are None and {shown(supported)}")
