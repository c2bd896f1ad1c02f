"""The variational autoencoder between pixels and latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin, entry_point
from autopipe.outputs import BaseOutput

from .attentive import Attentive
from .distributions import DiagonalGaussianDistribution, Generators
from .limits import LIMITS
from .tiling import in_tiles
from .vae import Decoder, DecoderOutput, Encoder, check_channels, with_new_names
from .vae_memory import Sliced


@dataclass
class AutoencoderKLOutput(BaseOutput):
    """`latent_dist`: the distribution of the latents."""

    latent_dist: DiagonalGaussianDistribution


class AutoencoderKL(Attentive, Sliced, ModelMixin):
    """Encodes images into a distribution of latents that are `2 ** (levels - 1)` times smaller.

    Callers normalise latents with `scaling_factor`, `shift_factor`, `latents_mean` and
    `latents_std`; `force_upcast` tells them to decode in float32. Slicing and tiling are settings
    of the model, so all pipelines that share the model share them.

    "Auto-Encoding Variational Bayes" (Kingma and Welling, 2013); "High-Resolution Image
    Synthesis with Latent Diffusion Models" (Rombach et al., 2022).

    Raises:
        ConfigError: if a value contradicts another one, or is not supported.
    """

    _supports_gradient_checkpointing = True

    config_limits = LIMITS

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        down_block_types: Sequence[str] = ("DownEncoderBlock2D",),
        up_block_types: Sequence[str] = ("UpDecoderBlock2D",),
        block_out_channels: Sequence[int] = (64,),
        layers_per_block: int = 1,
        act_fn: str = "silu",
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        sample_size: int | Sequence[int] = 32,
        scaling_factor: float = 0.18215,
        shift_factor: float | None = None,
        latents_mean: Sequence[float] | None = None,
        latents_std: Sequence[float] | None = None,
        force_upcast: bool = True,
        use_quant_conv: bool = True,
        use_post_quant_conv: bool = True,
        mid_block_add_attention: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(
            in_channels=in_channels,
            out_channels=2 * latent_channels,
            block_types=down_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            mid_block_add_attention=mid_block_add_attention,
        )
        self.decoder = Decoder(
            in_channels=latent_channels,
            out_channels=out_channels,
            block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            mid_block_add_attention=mid_block_add_attention,
        )
        self.quant_conv = (
            nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1) if use_quant_conv else None
        )
        self.post_quant_conv = (
            nn.Conv2d(latent_channels, latent_channels, 1) if use_post_quant_conv else None
        )

        side = sample_size if isinstance(sample_size, int) else sample_size[0]
        self.tile_sample_min_size = side
        self.tile_latent_min_size = int(side / 2 ** (len(block_out_channels) - 1))
        self.tile_overlap_factor = 0.25

    @classmethod
    def convert_state_dict(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `state` with the current names of attention layers; early releases used others."""
        return with_new_names(state)

    @entry_point
    def encode(
        self, x: Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        """Return the distribution of the latents of images (B, in_channels, H, W) in [-1, 1].

        Raises:
            ArgumentError: if `x` has another shape.
        """
        check_channels("images", x, self.config.in_channels)
        posterior = DiagonalGaussianDistribution(self.each_slice(self._encode, x))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    @entry_point
    def decode(
        self,
        z: Tensor,
        return_dict: bool = True,
        generator: Generators = None,
    ) -> DecoderOutput | tuple[Tensor]:
        """Decode latents (B, latent_channels, h, w) to images (B, out_channels, H, W).

        `generator` is not used; other autoencoders draw noise here.

        Raises:
            ArgumentError: if `z` has another shape.
        """
        check_channels("latents", z, self.config.latent_channels)
        images = self.each_slice(self._decode, z)
        return DecoderOutput(sample=images) if return_dict else (images,)

    @entry_point
    def tiled_decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Decode in tiles, whether or not tiling is enabled."""
        images = self._decode_tiles(z)
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(
        self,
        sample: Tensor,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: Generators = None,
    ) -> DecoderOutput | tuple[Tensor]:
        """Encode images and decode the latents.

        Args:
            sample_posterior: sample the latents with `generator` instead of taking the most likely.
        """
        posterior: DiagonalGaussianDistribution = self.encode(sample)[0]
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        return self.decode(latents, return_dict=return_dict)

    def _encode(self, images: Tensor) -> Tensor:
        if self.use_tiling and max(images.shape[-2:]) > self.tile_sample_min_size:
            return self._encode_tiles(images)
        return self._encode_whole(images)

    def _decode(self, latents: Tensor) -> Tensor:
        if self.use_tiling and max(latents.shape[-2:]) > self.tile_latent_min_size:
            return self._decode_tiles(latents)
        return self._decode_whole(latents)

    def _encode_whole(self, images: Tensor) -> Tensor:
        moments: Tensor = self.encoder(images)
        return moments if self.quant_conv is None else self.quant_conv(moments)

    def _decode_whole(self, latents: Tensor) -> Tensor:
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        images: Tensor = self.decoder(latents)
        return images

    def _encode_tiles(self, images: Tensor) -> Tensor:
        return in_tiles(
            self._encode_whole,
            images,
            tile=self.tile_sample_min_size,
            made=self.tile_latent_min_size,
            overlap=self.tile_overlap_factor,
        )

    def _decode_tiles(self, latents: Tensor) -> Tensor:
        return in_tiles(
            self._decode_whole,
            latents,
            tile=self.tile_latent_min_size,
            made=self.tile_sample_min_size,
            overlap=self.tile_overlap_factor,
        )
