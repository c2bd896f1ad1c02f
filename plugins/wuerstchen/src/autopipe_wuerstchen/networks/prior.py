"""The network of the prior, which predicts the noise in a very small latent image."""

from __future__ import annotations

from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError
from autopipe.modeling import ModelMixin
from autopipe.wording import shown
from autopipe_components.networks.attentive import Attentive
from autopipe_components.networks.checkpointing import Checkpointed

from .layers import (
    WUERSTCHEN_LIMITS,
    AttnBlock,
    ChannelNorm,
    ResBlock,
    TimestepBlock,
    embed_times,
)


class WuerstchenPrior(Attentive, Checkpointed, ModelMixin):
    """Stage C of Würstchen (Pernias et al. 2023, arXiv:2306.00637).

    Raises:
        ConfigError: if a value contradicts another one.
    """

    _supports_gradient_checkpointing = True
    config_limits = WUERSTCHEN_LIMITS

    @register_to_config
    def __init__(
        self,
        c_in: int = 16,
        c: int = 1280,
        c_cond: int = 1024,
        c_r: int = 64,
        depth: int = 16,
        nhead: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(c, nhead)
        self.projection = nn.Conv2d(c_in, c, kernel_size=1)
        self.cond_mapper = nn.Sequential(nn.Linear(c_cond, c), nn.LeakyReLU(0.2), nn.Linear(c, c))
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            self.blocks.append(ResBlock(c, dropout=dropout))
            self.blocks.append(TimestepBlock(c, c_r))
            self.blocks.append(AttnBlock(c, c, nhead))
        self.out = nn.Sequential(ChannelNorm(c), nn.Conv2d(c, 2 * c_in, kernel_size=1))

    @property
    def sample_width(self) -> int:
        """The channels for each cell of the latents; see `autopipe.placement.room`."""
        return int(self.config.c)

    def forward(self, x: Tensor, r: Tensor, c: Tensor) -> Tensor:
        """Return the predicted noise (B, c_in, H, W).

        Args:
            x: the noisy latents (B, c_in, H, W).
            r: their times (B,), from 0 to 1.
            c: the encoded prompts (B, K, c_cond).
        """
        check_input("x", x, self.config.c_in)
        pixels, condition = self.projection(x), self.cond_mapper(c)
        times = embed_times(r, self.config.c_r)
        inputs = {AttnBlock: (condition,), TimestepBlock: (times,), ResBlock: ()}
        for block in self.blocks:
            pixels = self.run(block, pixels, *inputs[type(block)])
        mean, deviation = self.out(pixels).chunk(2, dim=1)
        predicted: Tensor = (x - mean) / ((1 - deviation).abs() + 1e-5)
        return predicted


def check_heads(channels: int, heads: int) -> None:
    """Raise `ConfigError` if `channels` can't be divided among `heads`."""
    if heads < 1 or channels % heads:
        raise ConfigError(
            f"nhead is {heads}, and {channels} channels can't be divided among so many heads; "
            f"correct one"
        )


def check_input(name: str, pixels: Tensor, channels: int) -> None:
    """Raise `ArgumentError` if `pixels` are not (B, `channels`, H, W)."""
    if not isinstance(pixels, Tensor) or pixels.ndim != 4 or pixels.shape[1] != channels:
        raise ArgumentError(f"{name} must be a tensor (B, {channels}, H, W), not {shown(pixels)}")
