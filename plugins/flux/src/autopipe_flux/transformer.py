"""The network of Flux.1: blocks of two streams, then blocks of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.values import Range
from autopipe.wording import shown
from autopipe_components.dit import (
    ContinuousNorm,
    JointAttention,
    JointBlock,
    Residuals,
    Rotary,
    TimeTextEmbedding,
    Transformer2DModelOutput,
    ZeroNorm,
    check_input,
    rotary_waves,
)
from autopipe_components.dit.blocks import within_half
from autopipe_components.networks.attentive import Attentive, attention_options
from autopipe_components.networks.checkpointing import Checkpointed
from autopipe_components.networks.embeddings import timesteps_of
from autopipe_components.networks.limits import LIMITS, WIDTH

from .original import Names, names_of_processors, original_names

_EPS = 1e-6
_DEPTH = Range(0, 256)
_FEED = 4
"""How many times as wide as the tokens the feed-forward layer of a block is."""


class FluxSingleTransformerBlock(nn.Module):
    """Attention and a feed-forward layer side by side, over text and image as one sequence.

    "Scaling Vision Transformers to 22 Billion Parameters" (Dehghani et al., 2023,
    arXiv:2302.05442) has the parallel layers.
    """

    def __init__(self, width: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.norm = ZeroNorm(width, parts=3)
        self.proj_mlp = nn.Linear(width, _FEED * width)
        self.proj_out = nn.Linear((1 + _FEED) * width, width)
        self.attn = JointAttention(
            width, heads=heads, head_dim=head_dim, norm_eps=_EPS, projects_out=False
        )

    def forward(
        self, tokens: Tensor, condition: Tensor, rotary: Rotary, options: Mapping[str, Any]
    ) -> Tensor:
        """Return the tokens, (B, K + N, width), after the block."""
        normed, gate = self.norm(tokens, condition)
        fed = F.gelu(self.proj_mlp(normed), approximate="tanh")
        attended = self.attn(normed, image_rotary_emb=rotary, **options)
        return within_half(tokens + gate * self.proj_out(torch.cat([attended, fed], dim=2)))


class FluxTransformer2DModel(Attentive, Checkpointed, ModelMixin):
    """Predicts the velocity of latents, as tokens, according to a text.

    By Black Forest Labs, 2024; the blocks of two streams are those of Esser et al. 2024
    (arXiv:2403.03206).

    Args:
        patch_size: 1, since the pipeline makes tokens of latents.
        in_channels: the width of a token of latents.
        out_channels: of a prediction; by default `in_channels`.
        num_layers: the number of blocks with two streams.
        num_single_layers: the number of blocks with one.
        joint_attention_dim: the width of the text's tokens.
        pooled_projection_dim: the width of the pooled text.
        guidance_embeds: whether the network takes the guidance scale as an input.
        axes_dims_rope: the part of a head for each axis of a position; together a head.
    """

    config_limits: ClassVar = {
        **LIMITS,
        "num_layers": _DEPTH,
        "num_single_layers": _DEPTH,
        "joint_attention_dim": WIDTH,
        "pooled_projection_dim": WIDTH,
        "axes_dims_rope": Range(2, 1 << 16, filled=True, longest=3),
    }
    trained_sample_size = 128
    _supports_gradient_checkpointing = True
    _no_split_modules = ("JointBlock", "FluxSingleTransformerBlock")

    @register_to_config
    def __init__(
        self,
        patch_size: int = 1,
        in_channels: int = 64,
        out_channels: int | None = None,
        num_layers: int = 19,
        num_single_layers: int = 38,
        attention_head_dim: int = 128,
        num_attention_heads: int = 24,
        joint_attention_dim: int = 4096,
        pooled_projection_dim: int = 768,
        guidance_embeds: bool = False,
        axes_dims_rope: tuple[int, ...] = (16, 56, 56),
    ) -> None:
        super().__init__()
        axes = tuple(axes_dims_rope)
        if len(axes) != 3 or sum(axes) != attention_head_dim or any(one % 2 for one in axes):
            raise ConfigError(
                f"axes_dims_rope is {shown(list(axes))}; it must be three even numbers that add up "
                f"to attention_head_dim, {attention_head_dim}"
            )
        width = num_attention_heads * attention_head_dim
        self.time_text_embed = TimeTextEmbedding(
            width, pooled_projection_dim, guided=guidance_embeds
        )
        self.context_embedder = nn.Linear(joint_attention_dim, width)
        self.x_embedder = nn.Linear(in_channels, width)
        self.transformer_blocks = nn.ModuleList(
            JointBlock(width, heads=num_attention_heads, head_dim=attention_head_dim, norm_eps=_EPS)
            for _ in range(num_layers)
        )
        self.single_transformer_blocks = nn.ModuleList(
            FluxSingleTransformerBlock(
                width, heads=num_attention_heads, head_dim=attention_head_dim
            )
            for _ in range(num_single_layers)
        )
        self.norm_out = ContinuousNorm(width)
        self.proj_out = nn.Linear(width, patch_size**2 * (out_channels or in_channels))

    @property
    def sample_width(self) -> float:
        """The numbers that one cell of latents becomes, a quarter of a token."""
        width: int = self.x_embedder.out_features
        return width / 4

    @property
    def original_names(self) -> Names:
        """The paths of modules by the names that LoRA files have for them."""
        return {**original_names(self.config), **names_of_processors(self.config)}

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        pooled_projections: Tensor | None = None,
        timestep: Tensor | float | None = None,
        img_ids: Tensor | None = None,
        txt_ids: Tensor | None = None,
        guidance: Tensor | None = None,
        joint_attention_kwargs: Mapping[str, Any] | None = None,
        controlnet_block_samples: Sequence[Tensor] | None = None,
        controlnet_single_block_samples: Sequence[Tensor] | None = None,
        return_dict: bool = True,
        controlnet_blocks_repeat: bool = False,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict the velocity.

        Args:
            hidden_states: latents as tokens (B, N, in_channels).
            encoder_hidden_states: the text (B, K, joint_attention_dim).
            pooled_projections: (B, pooled_projection_dim).
            timestep: the time from 0 to 1, one for all samples or (B,).
            img_ids: the positions (N, 3) of the tokens of latents.
            txt_ids: the positions (K, 3) of those of the text.
            guidance: the guidance scales (B,), for networks with `guidance_embeds`.
            joint_attention_kwargs: what attention processors of yours take.
            controlnet_block_samples, controlnet_single_block_samples: (B, N, width) each, added
                after the blocks of two streams, or of one. If there are fewer than blocks,
                each is for several that follow one another.
            return_dict: if False, return `(prediction,)`.
            controlnet_blocks_repeat: whether the first of them take turns instead.

        Raises:
            ArgumentError: if an input is missing, or a shape doesn't fit.
        """
        options = attention_options(joint_attention_kwargs, self, argument="joint_attention_kwargs")
        config = self.config
        check_input("hidden_states", hidden_states, (None, None, config.in_channels))
        batch = len(hidden_states)
        further = Residuals(
            controlnet_block_samples, len(self.transformer_blocks), name="controlnet_block_samples"
        )
        single = Residuals(
            controlnet_single_block_samples,
            len(self.single_transformer_blocks),
            name="controlnet_single_block_samples",
        )
        read, pooled_width = config.joint_attention_dim, config.pooled_projection_dim
        text = check_input("encoder_hidden_states", encoder_hidden_states, (batch, None, read))
        pooled = check_input("pooled_projections", pooled_projections, (batch, pooled_width))
        told = check_input("txt_ids", _unbatched(txt_ids), (text.shape[1], 3))
        seen = check_input("img_ids", _unbatched(img_ids), (hidden_states.shape[1], 3))
        ids = torch.cat([told, seen]).to(hidden_states.device)
        rotary = rotary_waves(ids.float(), config.axes_dims_rope)
        tokens, context = self.x_embedder(hidden_states), self.context_embedder(text)
        if timestep is None:
            raise ArgumentError("this network predicts at a time: pass timestep, from 0 to 1")
        times = timesteps_of(timestep, tokens).expand(batch).to(tokens.dtype) * 1000
        scales = None
        if guidance is not None:
            # One scale serves for all samples.
            count = 1 if isinstance(guidance, Tensor) and len(guidance.reshape(-1)) == 1 else batch
            scales = check_input("guidance", guidance, (count,)).to(tokens.dtype) * 1000
        condition = self.time_text_embed(times, pooled, scales)
        run: Any = self.run
        for index, block in enumerate(self.transformer_blocks):
            tokens, context = run(block, tokens, context, condition, rotary, options)
            tokens = further.added(tokens, index, in_turn=controlnet_blocks_repeat)
        length = context.shape[1]
        joined = torch.cat([context, tokens], dim=1)
        for index, block in enumerate(self.single_transformer_blocks):
            joined = run(block, joined, condition, rotary, options)
            joined = single.added(joined, index, after=length)
        predicted = self.proj_out(self.norm_out(joined[:, length:], condition))
        return Transformer2DModelOutput(predicted) if return_dict else (predicted,)


def _unbatched(ids: Any) -> Any:
    """Return positions without the axis of the batch, which older programs give them."""
    return ids[0] if isinstance(ids, Tensor) and ids.ndim == 3 else ids
