"""The transformer that denoises the latents of Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.values import Range
from autopipe.wording import shown
from autopipe_components.dit import (
    ContinuousNorm,
    DualBlock,
    JointBlock,
    TimeTextEmbedding,
    Transformer2DModelOutput,
    check_tensors,
)
from autopipe_components.dit.patches import PatchEmbed, join_patches
from autopipe_components.networks.attentive import Attentive, attention_options
from autopipe_components.networks.checkpointing import Checkpointed
from autopipe_components.networks.embeddings import timesteps_of
from autopipe_components.networks.limits import LIMITS, WIDTH

from .original import Names, original_names, swapped_norms

_EPS = 1e-6


class SD3Transformer2DModel(Attentive, Checkpointed, ModelMixin):
    """Predicts the velocity of latents on their way from noise, according to a prompt.

    The patches of the latents and the tokens of the prompt are two streams that attend to each
    other in every layer; time and pooled prompt modulate both.

    "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis" (Esser et al., 2024,
    arXiv:2403.03206).

    Args:
        sample_size: height and width of the latents of training, whose patches have the same range
            of positions as all positions together.
        caption_projection_dim: must be `num_attention_heads * attention_head_dim`.
        out_channels: None for `in_channels`.
        pos_embed_max_size: how many patches there are positions for, along each axis.
        dual_attention_layers: the layers in which patches also attend to each other alone, as the
            first ones of Stable Diffusion 3.5 medium.
        qk_norm: "rms_norm" normalises queries and keys, as in Stable Diffusion 3.5; None doesn't.

    Raises:
        ConfigError: if the entries of the config don't fit together.
    """

    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "joint_attention_dim": WIDTH,
        "caption_projection_dim": WIDTH,
        "pooled_projection_dim": WIDTH,
        "pos_embed_max_size": Range(1, 1 << 12),
        "dual_attention_layers": Range(0, 256, longest=256),
    }
    _supports_gradient_checkpointing = True
    _no_split_modules = ("JointBlock", "DualBlock")

    @register_to_config
    def __init__(
        self,
        sample_size: int = 128,
        patch_size: int = 2,
        in_channels: int = 16,
        num_layers: int = 18,
        attention_head_dim: int = 64,
        num_attention_heads: int = 18,
        joint_attention_dim: int = 4096,
        caption_projection_dim: int = 1152,
        pooled_projection_dim: int = 2048,
        out_channels: int | None = 16,
        pos_embed_max_size: int = 96,
        dual_attention_layers: Sequence[int] = (),
        qk_norm: str | None = None,
    ) -> None:
        super().__init__()
        width = num_attention_heads * attention_head_dim
        if caption_projection_dim != width:
            raise ConfigError(
                f"caption_projection_dim is {caption_projection_dim}; it must be "
                f"num_attention_heads * attention_head_dim, {width}"
            )
        if qk_norm not in (None, "rms_norm"):
            raise ConfigError(f"qk_norm is {shown(qk_norm)}; known are 'rms_norm' and None")
        self.pos_embed = PatchEmbed(
            side=sample_size,
            patch=patch_size,
            channels=in_channels,
            width=width,
            most=pos_embed_max_size,
        )
        self.time_text_embed = TimeTextEmbedding(width, pooled_projection_dim)
        self.context_embedder = nn.Linear(joint_attention_dim, width)

        def block(number: int) -> JointBlock:
            kind = DualBlock if number in dual_attention_layers else JointBlock
            return kind(
                width,
                heads=num_attention_heads,
                head_dim=attention_head_dim,
                norm_eps=None if qk_norm is None else _EPS,
                is_last=number == num_layers - 1,
            )

        self.transformer_blocks = nn.ModuleList(block(number) for number in range(num_layers))
        self.norm_out = ContinuousNorm(width)
        self.proj_out = nn.Linear(width, patch_size**2 * (out_channels or in_channels))

    @property
    def original_names(self) -> Names:
        """The paths of modules by the names that LoRA files have for them."""
        here, swapped = dict(self.named_modules()), swapped_norms(self.config)
        return {
            name: means
            for name, means in original_names(self.config).items()
            if name not in swapped and (means if isinstance(means, str) else means[0]) in here
        }

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        pooled_projections: Tensor | None = None,
        timestep: Tensor | float | None = None,
        block_controlnet_hidden_states: Sequence[Tensor] | None = None,
        joint_attention_kwargs: Mapping[str, Any] | None = None,
        return_dict: bool = True,
        skip_layers: Sequence[int] | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict the velocity of latents.

        Args:
            hidden_states: (B, in_channels, H, W); H and W are multiples of `patch_size`.
            encoder_hidden_states: the prompt, (B, K, joint_attention_dim).
            pooled_projections: the prompt as a whole, (B, pooled_projection_dim).
            timestep: from 0 to 1000, one for all samples, or a tensor (B,).
            block_controlnet_hidden_states: tensors (B, N, width) to add after the layers, each
                after as many as there are layers for it.
            joint_attention_kwargs: what attention processors of yours take.
            return_dict: if False, return `(prediction,)`.
            skip_layers: the numbers of layers to leave out, from 0.

        Raises:
            ArgumentError: if an input is missing, or a shape doesn't fit.
        """
        options = attention_options(joint_attention_kwargs, self)
        self._check(hidden_states, encoder_hidden_states, pooled_projections)
        if block_controlnet_hidden_states is not None:
            check_tensors("block_controlnet_hidden_states", block_controlnet_hidden_states)
        if skip_layers is not None and not isinstance(skip_layers, (list, tuple)):
            raise ArgumentTypeError(
                f"skip_layers is {shown(skip_layers)}; give a list of the numbers of layers"
            )
        timesteps = timesteps_of(timestep, hidden_states)  # type: ignore[arg-type]
        condition = self.time_text_embed(timesteps.expand(len(hidden_states)), pooled_projections)
        tokens = self.pos_embed(hidden_states)
        context: Any = self.context_embedder(encoder_hidden_states)
        skipped = frozenset(skip_layers or ())
        added = block_controlnet_hidden_states or ()
        count = len(self.transformer_blocks)
        for number, block in enumerate(self.transformer_blocks):
            if number not in skipped:
                tokens, context = self.run(block, tokens, context, condition, None, options)
            if added and number < count - 1:
                tokens = tokens + added[number * len(added) // count]
        patches = self.proj_out(self.norm_out(tokens, condition))
        patch = self.config.patch_size
        rows, columns = (side // patch for side in hidden_states.shape[-2:])
        predicted = join_patches(patches, rows, columns, patch)
        return Transformer2DModelOutput(predicted) if return_dict else (predicted,)

    def _check(self, sample: Tensor, prompt: Tensor | None, pooled: Tensor | None) -> None:
        config = self.config
        channels, patch = config.in_channels, config.patch_size
        fits = isinstance(sample, Tensor) and sample.ndim == 4 and sample.shape[1] == channels
        if not fits or any(side % patch or not side for side in sample.shape[-2:]):
            raise ArgumentError(
                f"hidden_states is {shown(sample)}; this model takes a tensor (B, {channels}, H, "
                f"W), with H and W divisible by {patch}"
            )
        for name, value, width, axes in (
            ("encoder_hidden_states", prompt, config.joint_attention_dim, 3),
            ("pooled_projections", pooled, config.pooled_projection_dim, 2),
        ):
            fits = isinstance(value, Tensor) and value.ndim == axes
            if value is None or not fits or (len(value), value.shape[-1]) != (len(sample), width):
                tokens = "tokens, " if axes == 3 else ""
                raise ArgumentError(
                    f"{name} is {shown(value)}; this model takes a tensor ({len(sample)}, {tokens}"
                    f"{width})"
                )
