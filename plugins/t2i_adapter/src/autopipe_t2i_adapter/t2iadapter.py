"""T2I-Adapter: a small network that makes features for the down blocks of a U-Net of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.wording import listed, shown

from .layers import FullAdapter, FullAdapterXL, Layers, LightAdapter

_KINDS: Mapping[str, type[Layers]] = {
    "full_adapter": FullAdapter,
    "full_adapter_xl": FullAdapterXL,
    "light_adapter": LightAdapter,
}


class T2IAdapter(ModelMixin):
    """Makes features of an image, which a U-Net adds to those of its down blocks.

    Unlike a ControlNet it sees neither the latents nor the prompt, so it runs once in a call.

    "T2I-Adapter: Learning Adapters to Dig out More Controllable Ability for Text-to-Image Diffusion
    Models" (Mou et al., 2023, arXiv:2302.08453).

    Args:
        in_channels: the channels of the image: 3 for colour, 1 for grey.
        channels: the widths of the features, from the highest resolution to the lowest.
        num_res_blocks: the residual layers at each resolution.
        downscale_factor: pixels per cell of the features of the highest resolution.
        adapter_type: `"full_adapter"`, `"full_adapter_xl"` for SDXL, or `"light_adapter"`.

    Raises:
        ConfigError: if a value is not supported.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (320, 640, 1280, 1280),
        num_res_blocks: int = 2,
        downscale_factor: int = 8,
        adapter_type: str = "full_adapter",
    ) -> None:
        super().__init__()
        if adapter_type not in _KINDS:
            raise ConfigError(
                f"adapter_type is {shown(adapter_type)}; supported are {listed(_KINDS)}"
            )
        if not channels:
            raise ConfigError("channels is empty; give at least one width")
        self.adapter = _KINDS[adapter_type](in_channels, channels, num_res_blocks, downscale_factor)

    @property
    def downscale_factor(self) -> int:
        """The number of pixels that the height and width of images must be multiples of."""
        return int(self.config.downscale_factor)

    @property
    def total_downscale_factor(self) -> int:
        """Pixels per cell of the features of the lowest resolution."""
        return self.strides[-1]

    @property
    def widths(self) -> list[int]:
        """The channels of each feature map."""
        return list(self.adapter.widths)

    @property
    def strides(self) -> list[int]:
        """Pixels per cell of each feature map."""
        return [self.downscale_factor * 2**halvings for halvings in self.adapter.halvings]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return a feature map for each down block of a U-Net, and possibly one for the mid block.

        Args:
            x: images (B, in_channels, H, W) in [0, 1]; `downscale_factor` divides H and W.

        Raises:
            ArgumentError: if the shape doesn't fit.
        """
        channels, factor = self.config.in_channels, self.downscale_factor
        if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % factor or x.shape[3] % factor:
            raise ArgumentError(
                f"the image is {shown(x)}; this adapter takes (B, {channels}, H, W), where H and W "
                f"are multiples of {factor}"
            )
        features: list[Tensor] = self.adapter(x)
        return features
