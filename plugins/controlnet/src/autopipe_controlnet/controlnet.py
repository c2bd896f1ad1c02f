"""ControlNet: a network that conditions a U-Net on an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput
from autopipe.wording import shown
from autopipe_components.networks.activations import get_activation
from autopipe_components.networks.attention import set_attention_slices
from autopipe_components.networks.attentive import Attentive, attention_options
from autopipe_components.networks.conditioning import Conditioning, mask_to_bias
from autopipe_components.networks.embeddings import TimestepEmbedding
from autopipe_components.networks.limits import LIMITS
from autopipe_components.networks.unet_additions import make_addition_embedding
from autopipe_components.networks.unet_blocks import make_down_block, make_mid_block
from autopipe_components.networks.unet_context import make_context_projection
from autopipe_components.networks.unet_embeddings import (
    TimeEmbedded,
    make_class_embedding,
    make_time_projection,
)
from autopipe_components.networks.unet_layout import lay_out, per_level, refuse_pixel_blocks

from .picture import ControlNetConditioningEmbedding, check_picture, zero_projection

_Self = TypeVar("_Self", bound="ControlNetModel")

# Config entries of a U-Net that a ControlNet lacks, with the values of its architecture.
_AS_IN_A_UNET: dict[str, Any] = {
    "dropout": 0.0,
    "reverse_transformer_layers_per_block": None,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "resnet_out_scale_factor": 1.0,
    "cross_attention_norm": None,
    "mid_block_only_cross_attention": None,
}


@dataclass
class ControlNetOutput(BaseOutput):
    """The features that a U-Net adds to its skip connections and to the output of its mid block.

    Attributes:
        down_block_res_samples: one (B, C, h, w) for each skip connection, highest resolution
            first; of size (B, C, 1, 1) with `global_pool_conditions`.
        mid_block_res_sample: (B, C, h, w) of the lowest resolution, or (B, C, 1, 1).
    """

    down_block_res_samples: tuple[Tensor, ...]
    mid_block_res_sample: Tensor


class ControlNetModel(TimeEmbedded, Attentive, ModelMixin):
    """The encoder half of a U-Net with an additional image, whose features are added to a U-Net.

    Config entries in common with `UNet2DConditionModel` have the same meaning; here
    `num_attention_heads`, if given, takes precedence over `attention_head_dim`. `encoder_hid_dim`
    is accepted so that checkpoints with it load; ControlNets don't use that projection.

    "Adding Conditional Control to Text-to-Image Diffusion Models" (Zhang et al., 2023).

    Args:
        conditioning_channels: the channels of the control image.
        controlnet_conditioning_channel_order: `"rgb"`, or `"bgr"` for networks trained with it.
        conditioning_embedding_out_channels: the widths of the embedding of the control image; each
            after the first halves height and width, so their number must fit the VAE's factor.
        global_pool_conditions: add the mean of each feature instead of a feature map.

    Raises:
        ConfigError: if entries contradict each other, or one is not supported.
    """

    _supports_gradient_checkpointing = True

    config_limits = LIMITS

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        conditioning_channels: int = 3,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
        down_block_types: Sequence[str] = (
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ),
        mid_block_type: str | None = "UNetMidBlock2DCrossAttn",
        only_cross_attention: bool | Sequence[bool] = False,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        downsample_padding: int = 1,
        mid_block_scale_factor: float = 1,
        act_fn: str = "silu",
        norm_num_groups: int | None = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 1280,
        transformer_layers_per_block: int | Sequence[int] = 1,
        encoder_hid_dim: int | None = None,
        encoder_hid_dim_type: str | None = None,
        attention_head_dim: int | Sequence[int] = 8,
        num_attention_heads: int | Sequence[int] | None = None,
        use_linear_projection: bool = False,
        class_embed_type: str | None = None,
        addition_embed_type: str | None = None,
        addition_time_embed_dim: int | None = None,
        num_class_embeds: int | None = None,
        upcast_attention: bool = False,
        resnet_time_scale_shift: str = "default",
        projection_class_embeddings_input_dim: int | None = None,
        controlnet_conditioning_channel_order: str = "rgb",
        conditioning_embedding_out_channels: Sequence[int] | None = (16, 32, 96, 256),
        global_pool_conditions: bool = False,
        addition_embed_type_num_heads: int = 64,
    ) -> None:
        super().__init__()
        config: dict[str, Any] = {
            **self.config,
            **_AS_IN_A_UNET,
            "up_block_types": tuple(reversed(down_block_types)),
            "attention_head_dim": num_attention_heads or attention_head_dim,
        }
        check_picture(config)
        refuse_pixel_blocks(config)
        widths = tuple(block_out_channels)
        per_level("num_attention_heads", num_attention_heads, len(widths))

        self.conv_in = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1)
        self.time_proj, time_input_dim, time_embed_dim = make_time_projection(config)
        self.time_embedding = TimestepEmbedding(time_input_dim, time_embed_dim, act_fn=act_fn)
        self.encoder_hid_proj = make_context_projection(config)
        # Unlike in a U-Net, the activation of this MLP doesn't depend on that of the blocks.
        self.class_embedding = make_class_embedding(
            {**config, "act_fn": "silu"},
            time_input_dim=time_input_dim,
            time_embed_dim=time_embed_dim,
        )
        self.add_embedding = make_addition_embedding(config, time_embed_dim=time_embed_dim)
        assert conditioning_embedding_out_channels, "check_picture refuses none"
        self.controlnet_cond_embedding = ControlNetConditioningEmbedding(
            conditioning_channels, conditioning_embedding_out_channels, widths[0]
        )

        layout = lay_out(config, time_channels=time_embed_dim)
        self.down_blocks = nn.ModuleList(map(make_down_block, down_block_types, layout.down))
        self.mid_block = (
            None if mid_block_type is None else make_mid_block(mid_block_type, layout.mid)
        )
        self.act = get_activation(act_fn)
        skips = [widths[0]]
        for spec in layout.down:
            skips += [spec.out_channels] * (spec.num_layers + spec.resample)
        self.controlnet_down_blocks = nn.ModuleList(map(zero_projection, skips))
        self.controlnet_mid_block = zero_projection(widths[-1])

    @classmethod
    def from_unet(
        cls: type[_Self],
        unet: Any,
        controlnet_conditioning_channel_order: str = "rgb",
        conditioning_embedding_out_channels: Sequence[int] | None = (16, 32, 96, 256),
        load_weights_from_unet: bool = True,
        conditioning_channels: int = 3,
    ) -> _Self:
        """Return a ControlNet to train for `unet`, with a copy of its encoder's weights.

        Until it is trained, its features are zero.

        Args:
            unet: a `UNet2DConditionModel`.
            load_weights_from_unet: if False, keep random weights.

        Raises:
            ConfigError: if a ControlNet doesn't support the config of the U-Net.
        """
        if unet.config.get("time_embedding_type", "positional") != "positional":
            raise ConfigError(
                f"the U-Net has time_embedding_type {shown(unet.config.time_embedding_type)}; a "
                f"ControlNet can be made of one with 'positional' only"
            )
        shared = {name: unet.config[name] for name in cls.init_parameters() if name in unet.config}
        made = cls(
            **{
                **shared,
                "controlnet_conditioning_channel_order": controlnet_conditioning_channel_order,
                "conditioning_embedding_out_channels": conditioning_embedding_out_channels,
                "conditioning_channels": conditioning_channels,
            }
        )
        if load_weights_from_unet:
            own = made.state_dict()
            state = unet.state_dict()
            made.load_state_dict({**own, **{k: state[k] for k in own if k in state}})
        return made

    def set_attention_slice(self, slice_size: str | int | list[int | None] | None = "auto") -> None:
        """Compute attention for a few heads at a time; see `UNet2DConditionModel`."""
        set_attention_slices(self, slice_size)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor,
        conditioning_scale: float = 1.0,
        class_labels: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        attention_mask: Tensor | None = None,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        guess_mode: bool = False,
        return_dict: bool = True,
    ) -> ControlNetOutput | tuple[tuple[Tensor, ...], Tensor]:
        """Return the features to add to a U-Net with the same sample, timestep and prompt.

        Args:
            sample: (B, in_channels, h, w).
            timestep: one for all samples, or a tensor (B,).
            encoder_hidden_states: the encoded prompt, (B, K, cross_attention_dim).
            controlnet_cond: the control image, (B, conditioning_channels, H, W), of the size whose
                embedding is (h, w).
            conditioning_scale: the factor of all features.
            class_labels: for class-conditional networks, as in a U-Net.
            timestep_cond: not supported; refused.
            attention_mask: (B, h * w), 1 for pixels to attend to.
            added_cond_kwargs: the inputs that `addition_embed_type` requires.
            cross_attention_kwargs: `scale`, and what attention processors of yours take.
            guess_mode: weight the features from 0.1 at the highest resolution to 1 at the lowest,
                so that the control image alone determines the content.
            return_dict: if False, return a tuple.

        Raises:
            ArgumentError: if required inputs are missing, or shapes don't fit.
        """
        options = attention_options(cross_attention_kwargs, self)
        hidden = self.conv_in(self._checked(sample)) + self._embed_picture(sample, controlnet_cond)
        time = self.embed_time(
            sample,
            timestep,
            timestep_cond=timestep_cond,
            class_labels=class_labels,
            context=encoder_hidden_states,
            added=added_cond_kwargs,
        )
        cond = Conditioning(
            time=self.act(time),
            context=encoder_hidden_states,
            self_bias=mask_to_bias(attention_mask, sample),
            attention_kwargs=options,
        )
        skips = [hidden]
        for block in self.down_blocks:
            hidden, made = block(hidden, cond)
            skips += made
        if self.mid_block is not None:
            hidden = self.mid_block(hidden, cond)

        outputs = [project(skip) for project, skip in zip(self.controlnet_down_blocks, skips)]
        outputs.append(self.controlnet_mid_block(hidden))
        if self.config.global_pool_conditions:
            outputs = [one.mean(dim=(2, 3), keepdim=True) for one in outputs]
            guess_mode = False
        scales = torch.full((len(outputs),), float(conditioning_scale), device=sample.device)
        if guess_mode:
            scales = torch.logspace(-1, 0, len(outputs), device=sample.device) * conditioning_scale
        *down, mid = (output * scale for output, scale in zip(outputs, scales))
        if not return_dict:
            return tuple(down), mid
        return ControlNetOutput(down_block_res_samples=tuple(down), mid_block_res_sample=mid)

    def _checked(self, sample: Tensor) -> Tensor:
        channels = self.config.in_channels
        if sample.ndim != 4 or sample.shape[1] != channels:
            raise ArgumentError(
                f"sample has shape {tuple(sample.shape)}, but this ControlNet takes {channels} "
                f"channels: (B, {channels}, h, w)"
            )
        return sample

    def _embed_picture(self, sample: Tensor, picture: Tensor) -> Tensor:
        """Return the embedding of the control image, with the height and width of the sample."""
        channels = self.config.conditioning_channels
        if picture.ndim != 4 or picture.shape[1] != channels:
            raise ArgumentError(
                f"the control image has shape {tuple(picture.shape)}, but this ControlNet takes "
                f"{channels} channels: (B, {channels}, H, W)"
            )
        if self.config.controlnet_conditioning_channel_order == "bgr":
            picture = picture.flip(1)
        embedded: Tensor = self.controlnet_cond_embedding(picture)
        if embedded.shape[-2:] != sample.shape[-2:]:
            halvings = len(self.config.conditioning_embedding_out_channels) - 1
            raise ArgumentError(
                f"a control image of {tuple(picture.shape[-2:])} (height, width) gives features "
                f"of {tuple(embedded.shape[-2:])} and the sample is {tuple(sample.shape[-2:])}; "
                f"this ControlNet is for images {2**halvings} times as large as the sample"
            )
        return embedded
