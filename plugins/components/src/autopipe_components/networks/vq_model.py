"""The autoencoder with a codebook of latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, ConfigError, nearest
from autopipe.modeling import ModelMixin, entry_point
from autopipe.outputs import BaseOutput
from autopipe.wording import shown

from .attentive import Attentive
from .limits import LIMITS
from .vae import Decoder, DecoderOutput, Encoder, check_channels, with_new_names

_NORMS = ("group", "spatial")
_COMMITMENT = 0.25
"""The weight of the codebook loss relative to the commitment loss."""


@dataclass
class VQEncoderOutput(BaseOutput):
    """`latents`: before quantisation, (B, vq_embed_dim, h, w)."""

    latents: Tensor


class VectorQuantizer(nn.Module):
    """A codebook of `count` vectors of length `width`.

    "Neural Discrete Representation Learning" (van den Oord et al., 2017).
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(count, width)
        nn.init.uniform_(self.embedding.weight, -1 / count, 1 / count)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Replace each pixel of `latents`, (B, width, h, w), by the nearest vector.

        Gradients pass straight through to the latents.

        Returns:
            The quantised latents, the loss that pulls latents and codebook together, and the
            indices of the vectors, (B * h * w,).
        """
        pixels = latents.movedim(1, -1)
        # Calls the module, so that its weights are loaded where layers are offloaded.
        vectors = self.embedding(torch.arange(self.embedding.num_embeddings, device=latents.device))
        # Some devices have no half-precision kernel for cdist.
        indices = torch.cdist(pixels.flatten(0, 2).float(), vectors.float()).argmin(dim=1)
        nearest_vectors = vectors[indices].view(pixels.shape)
        loss = F.mse_loss(pixels, nearest_vectors.detach()) + _COMMITMENT * F.mse_loss(
            nearest_vectors, pixels.detach()
        )
        quantised = pixels + (nearest_vectors - pixels).detach()
        return quantised.movedim(-1, 1).contiguous(), loss, indices

    def get_codebook_entry(self, indices: Tensor, shape: Sequence[int] | None = None) -> Tensor:
        """Return the vectors at `indices`; for a `shape` (B, h, w, width), as (B, width, h, w)."""
        entries: Tensor = self.embedding(indices)
        return entries if shape is None else entries.view(*shape).movedim(-1, 1).contiguous()


class VQModel(Attentive, ModelMixin):
    """Encodes images into latents from a codebook, `2 ** (levels - 1)` times smaller.

    With `norm_type="spatial"` the latents also modulate the normalisation of the decoder. With
    `lookup_from_codebook`, what it decodes without quantising are indices into the codebook.
    `sample_size`, `scaling_factor` and `force_upcast` are for callers only.

    "Taming Transformers for High-Resolution Image Synthesis" (Esser et al., 2021); "MoVQ:
    Modulating Quantized Vectors for High-Fidelity Image Generation" (Zheng et al., 2022).

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
        latent_channels: int = 3,
        sample_size: int = 32,
        num_vq_embeddings: int = 256,
        norm_num_groups: int = 32,
        vq_embed_dim: int | None = None,
        scaling_factor: float = 0.18215,
        norm_type: str = "group",
        mid_block_add_attention: bool = True,
        lookup_from_codebook: bool = False,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        width = vq_embed_dim or latent_channels
        if norm_type not in _NORMS:
            raise ConfigError(
                f"norm_type is {shown(norm_type)}; supported are {' and '.join(_NORMS)}."
                f"{nearest(norm_type, _NORMS)}"
            )
        if norm_type == "spatial" and width != latent_channels:
            raise ConfigError(
                f"norm_type 'spatial' needs latent_channels and vq_embed_dim to be equal, but they "
                f"are {latent_channels} and {vq_embed_dim}"
            )
        self.encoder = Encoder(
            in_channels=in_channels,
            out_channels=latent_channels,
            block_types=down_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            mid_block_add_attention=mid_block_add_attention,
        )
        self.quant_conv = nn.Conv2d(latent_channels, width, 1)
        self.quantize = VectorQuantizer(num_vq_embeddings, width)
        self.post_quant_conv = nn.Conv2d(width, latent_channels, 1)
        self.decoder = Decoder(
            in_channels=latent_channels,
            out_channels=out_channels,
            block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            mid_block_add_attention=mid_block_add_attention,
            spatial_norm=norm_type == "spatial",
        )

    @classmethod
    def convert_state_dict(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `state` with the current names of attention layers; early releases used others."""
        return with_new_names(state)

    @entry_point
    def encode(self, x: Tensor, return_dict: bool = True) -> VQEncoderOutput | tuple[Tensor]:
        """Return the latents of images (B, in_channels, H, W) in [-1, 1], not yet quantised.

        Raises:
            ArgumentError: if `x` has another shape.
        """
        check_channels("images", x, self.config.in_channels)
        latents: Tensor = self.quant_conv(self.encoder(x))
        return VQEncoderOutput(latents=latents) if return_dict else (latents,)

    @entry_point
    def decode(
        self,
        h: Tensor,
        force_not_quantize: bool = False,
        return_dict: bool = True,
        shape: Sequence[int] | None = None,
    ) -> DecoderOutput | tuple[Tensor, Tensor]:
        """Return images (B, out_channels, H, W), decoded from latents, and the commitment loss.

        Args:
            h: the latents, (B, vq_embed_dim, h, w); or, together with `force_not_quantize` and
                `shape`, integer indices of vectors.
            force_not_quantize: decode the latents without quantising them; the loss is then zero.
            return_dict: if False, return the tuple `(sample, commit_loss)`.
            shape: (B, h, w, vq_embed_dim) of the latents that the indices represent.

        Raises:
            ArgumentError: if `h` has another shape, or `shape` is missing for indices.
        """
        are_indices = isinstance(h, Tensor) and h.dtype == torch.int64
        if force_not_quantize and (are_indices or self.config.lookup_from_codebook):
            if shape is None:
                raise ArgumentError(
                    "these are indices into the codebook: pass shape, (B, h, w, "
                    f"{self.quantize.embedding.embedding_dim}), with them"
                )
            latents = self.quantize.get_codebook_entry(h, shape)
        else:
            check_channels("latents", h, self.quantize.embedding.embedding_dim)
            latents = h
        if force_not_quantize:
            loss = latents.new_zeros(latents.shape[0])
        else:
            latents, loss, _ = self.quantize(latents)
        spatial = self.config.norm_type == "spatial"
        images = self.decoder(self.post_quant_conv(latents), latents if spatial else None)
        return DecoderOutput(sample=images, commit_loss=loss) if return_dict else (images, loss)

    def forward(
        self, sample: Tensor, return_dict: bool = True
    ) -> DecoderOutput | tuple[Tensor, Tensor]:
        """Encode images, quantise the latents and decode them."""
        return self.decode(self.encode(sample)[0], return_dict=return_dict)
