"""The U-Net that predicts noise from a noisy sample and a timestep, without a prompt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput
from autopipe.wording import shown

from .activations import get_activation
from .attentive import Attentive
from .conditioning import Conditioning
from .embeddings import TimestepEmbedding, timesteps_of
from .limits import LIMITS
from .unet_2d_blocks import (
    PixelAttention,
    PixelMidBlock,
    SkipDownBlock,
    SkipUpBlock,
    default_groups,
    make_down_block,
    make_up_block,
    skip_paths,
)
from .unet_2d_layout import check_config, class_embedding_of, lay_out, time_projection
from .unet_embeddings import TimeEmbedded
from .vae import with_new_names


@dataclass
class UNet2DOutput(BaseOutput):
    """`sample`: the prediction, (B, out_channels, H, W)."""

    sample: Tensor


class UNet2DModel(TimeEmbedded, Attentive, ModelMixin):
    """A U-Net on images or latents, which may be conditional on classes.

    Values per resolution run from the highest resolution to the lowest. `sample_size` is the size
    of the training; the model takes any. `attention_head_dim` is the width of a head; None means a
    single head. Without `norm_num_groups`, as in networks with a skip path alone, numbers of groups
    follow from those of channels.

    "Denoising Diffusion Probabilistic Models" (Ho et al., 2020, arXiv:2006.11239); "Score-Based
    Generative Modeling through Stochastic Differential Equations" (Song et al., 2021,
    arXiv:2011.13456) for blocks with a skip path and Fourier embeddings.

    Raises:
        ConfigError: if a value contradicts another one, or is not supported.
    """

    _supports_gradient_checkpointing = True

    config_limits = LIMITS
    add_embedding = None

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int] | None = None,
        in_channels: int = 3,
        out_channels: int = 3,
        center_input_sample: bool = False,
        time_embedding_type: str = "positional",
        time_embedding_dim: int | None = None,
        freq_shift: int = 0,
        flip_sin_to_cos: bool = True,
        down_block_types: Sequence[str] = (
            "DownBlock2D",
            "AttnDownBlock2D",
            "AttnDownBlock2D",
            "AttnDownBlock2D",
        ),
        mid_block_type: str | None = "UNetMidBlock2D",
        up_block_types: Sequence[str] = (
            "AttnUpBlock2D",
            "AttnUpBlock2D",
            "AttnUpBlock2D",
            "UpBlock2D",
        ),
        block_out_channels: Sequence[int] = (224, 448, 672, 896),
        layers_per_block: int = 2,
        mid_block_scale_factor: float = 1,
        downsample_padding: int = 1,
        downsample_type: str = "conv",
        upsample_type: str = "conv",
        dropout: float = 0.0,
        act_fn: str = "silu",
        attention_head_dim: int | None = 8,
        norm_num_groups: int | None = 32,
        attn_norm_num_groups: int | None = None,
        norm_eps: float = 1e-5,
        resnet_time_scale_shift: str = "default",
        add_attention: bool = True,
        class_embed_type: str | None = None,
        num_class_embeds: int | None = None,
        num_train_timesteps: int | None = None,
    ) -> None:
        super().__init__()
        config = self.config
        check_config(config)
        first = block_out_channels[0]
        self.conv_in = nn.Conv2d(in_channels, first, kernel_size=3, padding=1)
        self.time_proj, embedded = time_projection(config)
        width = time_embedding_dim or 4 * first
        self.time_embedding = TimestepEmbedding(embedded, width)
        self.class_embedding = class_embedding_of(config, embedded, width)

        def attend(channels: int, groups: int | None, factor: float) -> PixelAttention:
            return PixelAttention(
                channels,
                attention_head_dim,
                groups=groups,
                eps=norm_eps,
                output_scale_factor=factor,
            )

        has_picture = any(itertools.chain(*skip_paths(config)))
        self._multiple = 2 ** (len(block_out_channels) - 1) if has_picture else 1
        down, mid, up = lay_out(config, width)
        self.down_blocks = nn.ModuleList(
            make_down_block(name, spec, attend, resnet=downsample_type == "resnet")
            for name, spec in zip(down_block_types, down)
        )
        self.mid_block = None
        if mid_block_type is not None:
            groups = attn_norm_num_groups
            if groups is None and resnet_time_scale_shift == "default":
                groups = mid.resnet.groups
            last, factor = mid.out_channels, mid_block_scale_factor
            self.mid_block = PixelMidBlock(
                mid, attend(last, groups, factor) if add_attention else None
            )
        self.up_blocks = nn.ModuleList(
            make_up_block(name, spec, attend, resnet=upsample_type == "resnet")
            for name, spec in zip(up_block_types, up)
        )
        self.act = get_activation(act_fn)
        groups = norm_num_groups or default_groups(first)
        self.conv_norm_out = nn.GroupNorm(groups, first, eps=norm_eps)
        self.conv_out = nn.Conv2d(first, out_channels, kernel_size=3, padding=1)

    @classmethod
    def convert_state_dict(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `state` with the current names of attention layers; early releases used others."""
        return with_new_names(state)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple[Tensor]:
        """Predict the noise in `sample`, or another target that the model was trained to predict.

        Args:
            sample: (B, in_channels, H, W). Blocks with a skip path need sizes that all levels
                halve exactly.
            timestep: one for all samples, or a tensor (B,); for Fourier embeddings the noise level,
                by which the prediction is divided.
            class_labels: (B,), for models with classes; (B, D) if `class_embed_type` is "identity".
            return_dict: if False, return `(prediction,)`.

        Raises:
            ArgumentError: if an input that the config requires is missing, or a shape doesn't fit.
        """
        channels = self.config.in_channels
        if not isinstance(sample, Tensor) or sample.ndim != 4 or sample.shape[1] != channels:
            raise ArgumentError(
                f"sample is {shown(sample)}; this model takes a tensor with {channels} channels: "
                f"(B, {channels}, H, W)"
            )
        if any(side % self._multiple for side in sample.shape[2:]):
            raise ArgumentError(
                f"sample is {shown(sample)}; this model has a skip path, and takes heights and "
                f"widths that are multiples of {self._multiple}"
            )
        if self.config.center_input_sample:
            sample = 2 * sample - 1.0
        time = self.embed_time(
            sample,
            timestep,
            timestep_cond=None,
            class_labels=class_labels,
            context=None,
            added=None,
        )
        prediction = self._passed(sample, Conditioning(time=self.act(time)))
        if self.config.time_embedding_type == "fourier":
            prediction = prediction / timesteps_of(timestep, sample).reshape(-1, 1, 1, 1)
        return UNet2DOutput(sample=prediction) if return_dict else (prediction,)

    def _passed(self, sample: Tensor, cond: Conditioning) -> Tensor:
        """Return what all blocks and the output layers make of `sample`."""
        hidden = self.conv_in(sample)
        skips, picture = [hidden], sample
        for block in self.down_blocks:
            if isinstance(block, SkipDownBlock):
                hidden, made, picture = block(hidden, cond, picture)
            else:
                hidden, made = block(hidden, cond)
            skips += made
        if self.mid_block is not None:
            hidden = self.mid_block(hidden, cond)
        drawn: Tensor | None = None
        for block in self.up_blocks:
            count = len(block.resnets)  # type: ignore[arg-type]
            taken, skips = skips[-count:], skips[:-count]
            if isinstance(block, SkipUpBlock):
                hidden, drawn = block(hidden, taken, cond, drawn)
            else:
                # The size of the next skip connection: odd sizes were rounded down before.
                hidden = block(hidden, taken, cond, skips[-1].shape[-2:] if skips else None)
        prediction: Tensor = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        return prediction if drawn is None else prediction + drawn

    def _with_classes(self, time: Tensor, class_labels: Tensor | None) -> Tensor:
        if class_labels is not None and self.config.class_embed_type == "timestep":
            class_labels = self.time_proj(class_labels).to(time.dtype)
        return super()._with_classes(time, class_labels)
