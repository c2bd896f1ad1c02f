"""The U-Net that predicts noise from a noisy sample, a timestep and an encoded prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput
from autopipe.wording import shown

from ..original.unet_names import unet_module_names
from .activations import get_activation
from .attention import set_attention_slices
from .attentive import Attentive, attention_options
from .conditioning import Conditioning, mask_to_bias
from .embeddings import TimestepEmbedding
from .k_blocks import has_k_blocks
from .limits import LIMITS
from .unet_additions import make_addition_embedding
from .unet_blocks import make_down_block, make_mid_block, make_up_block
from .unet_context import make_context_projection
from .unet_embeddings import TimeEmbedded, make_class_embedding, make_time_projection
from .unet_layout import lay_out, refuse_unsupported
from .unet_passage import Passage, Residuals


@dataclass
class UNet2DConditionOutput(BaseOutput):
    """`sample`: the prediction, (B, out_channels, H, W)."""

    sample: Tensor


class UNet2DConditionModel(TimeEmbedded, Attentive, ModelMixin):
    """A U-Net on images or latents whose blocks attend to an encoded prompt.

    `attention_head_dim`, one value or one per resolution, is the *number* of heads in blocks with
    transformers; the first checkpoints were published with this misnomer. In `SimpleCrossAttn`
    blocks it is the width of a head. Values per resolution run from the highest resolution to the
    lowest. `sample_size` is the height and width of the training; the model takes any.
    `mid_block_only_cross_attention` is for `SimpleCrossAttn` mid blocks; None means the value of
    `only_cross_attention`, if that is a single value.

    "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., 2022);
    "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding" (Saharia et
    al., 2022) for the blocks of pixel-space diffusion; `k_blocks` names its own.

    Raises:
        ConfigError: if a value contradicts another one, or is not supported.
    """

    _supports_gradient_checkpointing = True

    config_limits = LIMITS

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int] | None = None,
        in_channels: int = 4,
        out_channels: int = 4,
        center_input_sample: bool = False,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        down_block_types: Sequence[str] = (
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ),
        mid_block_type: str | None = "UNetMidBlock2DCrossAttn",
        up_block_types: Sequence[str] = (
            "UpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
        ),
        only_cross_attention: bool | Sequence[bool] = False,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int | Sequence[int] = 2,
        downsample_padding: int = 1,
        mid_block_scale_factor: float = 1,
        dropout: float = 0.0,
        act_fn: str = "silu",
        norm_num_groups: int | None = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int | Sequence[int] = 1280,
        transformer_layers_per_block: int | Sequence[int] | Sequence[Sequence[int]] = 1,
        reverse_transformer_layers_per_block: Sequence[int] | Sequence[Sequence[int]] | None = None,
        encoder_hid_dim: int | None = None,
        encoder_hid_dim_type: str | None = None,
        attention_head_dim: int | Sequence[int] = 8,
        num_attention_heads: int | Sequence[int] | None = None,
        dual_cross_attention: bool = False,
        use_linear_projection: bool = False,
        class_embed_type: str | None = None,
        addition_embed_type: str | None = None,
        addition_time_embed_dim: int | None = None,
        num_class_embeds: int | None = None,
        upcast_attention: bool = False,
        resnet_time_scale_shift: str = "default",
        resnet_skip_time_act: bool = False,
        resnet_out_scale_factor: float = 1.0,
        time_embedding_type: str = "positional",
        time_embedding_dim: int | None = None,
        time_embedding_act_fn: str | None = None,
        timestep_post_act: str | None = None,
        time_cond_proj_dim: int | None = None,
        conv_in_kernel: int = 3,
        conv_out_kernel: int = 3,
        projection_class_embeddings_input_dim: int | None = None,
        attention_type: str = "default",
        class_embeddings_concat: bool = False,
        mid_block_only_cross_attention: bool | None = None,
        cross_attention_norm: str | None = None,
        addition_embed_type_num_heads: int = 64,
    ) -> None:
        super().__init__()
        config = self.config
        refuse_unsupported(config)

        self.conv_in = _same_conv(in_channels, block_out_channels[0], conv_in_kernel)
        self.time_proj, time_input_dim, time_embed_dim = make_time_projection(config)
        self.time_embedding = TimestepEmbedding(
            time_input_dim,
            time_embed_dim,
            act_fn=act_fn,
            post_act_fn=timestep_post_act,
            cond_proj_dim=time_cond_proj_dim,
        )
        self.encoder_hid_proj = make_context_projection(config)
        self.class_embedding = make_class_embedding(
            config, time_input_dim=time_input_dim, time_embed_dim=time_embed_dim
        )
        self.add_embedding = make_addition_embedding(config, time_embed_dim=time_embed_dim)
        self.time_embed_act = (
            None
            if time_embedding_act_fn is None
            else get_activation(time_embedding_act_fn, "time_embedding_act_fn")
        )

        layout = lay_out(
            config, time_channels=time_embed_dim * (2 if class_embeddings_concat else 1)
        )
        # The mid block is made last: per-layer settings are listed in this order.
        self.down_blocks = nn.ModuleList(map(make_down_block, down_block_types, layout.down))
        self.up_blocks = nn.ModuleList(map(make_up_block, up_block_types, layout.up))
        self.mid_block = (
            None if mid_block_type is None else make_mid_block(mid_block_type, layout.mid)
        )
        self.passage = Passage()
        self.k_blocks = has_k_blocks(config)

        self.act = get_activation(act_fn)
        self.conv_norm_out = (
            None
            if norm_num_groups is None
            else nn.GroupNorm(norm_num_groups, block_out_channels[0], eps=norm_eps)
        )
        self.conv_out = _same_conv(block_out_channels[0], out_channels, conv_out_kernel)

    @property
    def sample_channels(self) -> int:
        """The number of channels of `sample`: `in_channels` minus those computed from a hint."""
        extra = 0 if self.add_embedding is None else self.add_embedding.extra_channels
        return int(self.config.in_channels) - extra

    @property
    def original_names(self) -> Mapping[str, str]:
        """The path of each module, by its path in the authors' code: `unet_module_names`."""
        return unet_module_names(self.config)

    def set_attention_slice(self, slice_size: str | int | list[int | None] | None = "auto") -> None:
        """Compute attention for a few heads at a time: less memory, same result, slightly slower.

        It is a setting of the model, not of a call.

        Args:
            slice_size: heads at a time: `"auto"` for half of them, `"max"` for one, a number for
                all layers, a list with one number (or None) per layer; None turns slicing off.

        Raises:
            ArgumentError: if a number is not between 1 and the number of heads of its layer, or the
                list doesn't have one entry per layer.
        """
        set_attention_slices(self, slice_size)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor | None,
        class_labels: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        down_intrablock_additional_residuals: Sequence[Tensor] | None = None,
        encoder_attention_mask: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """Predict the noise in `sample`, or another target that the model was trained to predict.

        Args:
            sample: (B, in_channels, H, W), any H and W.
            timestep: one for all samples, or a tensor (B,).
            encoder_hidden_states: the encoded prompt, (B, K, cross_attention_dim), or (B, K,
                encoder_hid_dim) if it is projected; None for models without a prompt.
            class_labels: (B,), or (B, D) for projections; for models with classes.
            timestep_cond: (B, time_cond_proj_dim), such as an embedded guidance scale.
            attention_mask: (B, H * W), 1 for pixels to attend to. `SimpleCrossAttn` blocks use it
                as the `encoder_attention_mask`, in preference to the other one.
            cross_attention_kwargs: `scale`, and what attention processors of yours take.
            added_cond_kwargs: inputs that `addition_embed_type` and `encoder_hid_dim_type` require:
                `text_embeds` and `time_ids` (B, 6) for "text_time", `text_embeds` and
                `image_embeds` for "text_image", `image_embeds` for "image" and "image_hint", and
                `hint` (B, 3, 8 * H, 8 * W) for the last. Embeddings are (B, D).
            down_block_additional_residuals, mid_block_additional_residual: added to the skip
                connections and to the output of the mid block, for ControlNet; both or neither.
            down_intrablock_additional_residuals: one per down block, added to its features, for
                T2I-Adapter; one more is added to the output of the mid block.
            encoder_attention_mask: (B, K), 1 for prompt tokens to attend to.
            return_dict: if False, return `(prediction,)`.

        Raises:
            ArgumentError: if an input that the config requires is missing, or a shape doesn't fit.
        """
        _check_residuals(down_block_additional_residuals, mid_block_additional_residual)
        options = attention_options(cross_attention_kwargs, self)
        channels = self.sample_channels
        if not isinstance(sample, Tensor) or sample.ndim != 4 or sample.shape[1] != channels:
            raise ArgumentError(
                f"sample is {shown(sample)}; this model takes a tensor with {channels} channels: "
                f"(B, {channels}, H, W)"
            )
        added = added_cond_kwargs or {}
        if self.config.center_input_sample:
            sample = 2 * sample - 1.0

        time = self.embed_time(
            sample,
            timestep,
            timestep_cond=timestep_cond,
            class_labels=class_labels,
            context=encoder_hidden_states,
            added=added,
        )
        if self.add_embedding is not None:
            sample = self.add_embedding.extend(sample, added)
        if self.time_embed_act is not None:
            time = self.time_embed_act(time)
        if self.encoder_hid_proj is not None:
            encoder_hidden_states = self.encoder_hid_proj.project(encoder_hidden_states, added)
        cond = Conditioning(
            time=time if self.config.resnet_skip_time_act or self.k_blocks else self.act(time),
            context=encoder_hidden_states,
            context_bias=mask_to_bias(encoder_attention_mask, sample),
            self_bias=mask_to_bias(attention_mask, sample),
            attention_kwargs=options,
        )

        residuals = Residuals(
            down_block_additional_residuals,
            mid_block_additional_residual,
            down_intrablock_additional_residuals or (),
        )
        hidden = self.passage(self, self.conv_in(sample), cond, residuals)
        if self.conv_norm_out is not None:
            hidden = self.act(self.conv_norm_out(hidden))
        prediction = self.conv_out(hidden)
        return UNet2DConditionOutput(sample=prediction) if return_dict else (prediction,)


def _same_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """Return a convolution with an odd `kernel` that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=kernel, padding=(kernel - 1) // 2)


def _check_residuals(down: Sequence[Tensor] | None, mid: Tensor | None) -> None:
    if (down is None) != (mid is None):
        raise ArgumentError(
            "down_block_additional_residuals and mid_block_additional_residual go together; "
            "residuals of a T2I-Adapter go into down_intrablock_additional_residuals"
        )
