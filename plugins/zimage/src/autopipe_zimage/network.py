"""The transformer that denoises latents as one sequence with the caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin
from autopipe_components.dit import (
    Grid,
    JointAttention,
    Rotary,
    Sequences,
    Transformer2DModelOutput,
    filled_length,
    from_patches,
    grid_positions,
    rotary_waves,
    to_patches,
)
from autopipe_components.networks.attentive import Attentive, attention_options
from autopipe_components.networks.checkpointing import Checkpointed
from autopipe_components.networks.embeddings import timesteps_of

from .checks import CONFIG_LIMITS, MULTIPLE, check_config, check_shapes
from .layers import FinalLayer, Options, TimeEmbedding, ZImageTransformerBlock

_CONDITION = 256
"""The width of the embedding of time, at most that of the network."""


class ZImageTransformer2DModel(Attentive, Checkpointed, ModelMixin):
    """Predicts the velocity of noisy latents from the time and the embedding of a caption.

    Latents and caption first pass layers of their own, then all further ones as one sequence.

    "Z-Image: An Efficient Image Generation Foundation Model with Single-Stream Diffusion
    Transformer" (Z-Image Team, 2025, arXiv:2511.22699).

    Args:
        all_patch_size, all_f_patch_size: the sides of patches in cells, and their frames; there
            are layers for each pair, and a call chooses one.
        in_channels: of the latents.
        dim: the width of tokens.
        n_layers, n_refiner_layers: the layers of the whole sequence, and of each part before.
        n_heads: of the attention.
        n_kv_heads: not used; published configs have it.
        norm_eps: of the norms of tokens.
        qk_norm: whether queries and keys are normalised.
        cap_feat_dim: the width of the embedding of captions.
        siglip_feat_dim: None; networks that see images are not supported.
        rope_theta: the base of the frequencies of positions.
        t_scale: what the time is multiplied by before it is embedded.
        axes_dims: for moment, row and column of a position, their parts of a head.
        axes_lens: the number of moments, rows and columns.

    Raises:
        ConfigError: if entries don't fit together.
    """

    config_limits = CONFIG_LIMITS
    trained_sample_size = 128
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        all_patch_size: Sequence[int] = (2,),
        all_f_patch_size: Sequence[int] = (1,),
        in_channels: int = 16,
        dim: int = 3840,
        n_layers: int = 30,
        n_refiner_layers: int = 2,
        n_heads: int = 30,
        n_kv_heads: int = 30,
        norm_eps: float = 1e-5,
        qk_norm: bool = True,
        cap_feat_dim: int = 2560,
        siglip_feat_dim: None = None,
        rope_theta: float = 256.0,
        t_scale: float = 1000.0,
        axes_dims: Sequence[int] = (32, 48, 48),
        axes_lens: Sequence[int] = (1024, 512, 512),
    ) -> None:
        super().__init__()
        check_config(self.config)
        condition = min(dim, _CONDITION)

        def blocks(count: int, condition: int | None) -> nn.ModuleList:
            return nn.ModuleList(
                ZImageTransformerBlock(
                    dim,
                    heads=n_heads,
                    eps=norm_eps,
                    norm_eps=1e-5 if qk_norm else None,
                    condition=condition,
                )
                for _ in range(count)
            )

        sizes = {
            _key(patch, frames): patch * patch * frames * in_channels
            for patch, frames in zip(all_patch_size, all_f_patch_size)
        }
        self.all_x_embedder = nn.ModuleDict({k: nn.Linear(n, dim) for k, n in sizes.items()})
        self.all_final_layer = nn.ModuleDict(
            {key: FinalLayer(dim, numbers, condition) for key, numbers in sizes.items()}
        )
        self.noise_refiner = blocks(n_refiner_layers, condition)
        self.context_refiner = blocks(n_refiner_layers, None)
        self.t_embedder = TimeEmbedding(condition)
        self.cap_embedder = nn.Sequential(
            nn.RMSNorm(cap_feat_dim, eps=norm_eps), nn.Linear(cap_feat_dim, dim)
        )
        self.x_pad_token = nn.Parameter(torch.zeros(1, dim))
        self.cap_pad_token = nn.Parameter(torch.zeros(1, dim))
        self.layers = blocks(n_layers, condition)

    @property
    def sample_width(self) -> float:
        """How many channels there are at least for each cell of the latents."""
        return float(self.config.dim / self.config.all_patch_size[0] ** 2)

    @property
    def original_names(self) -> dict[str, str | tuple[str, ...]]:
        """The paths of modules by the names that the authors' files have for them."""
        first = next(iter(self.all_x_embedder))
        found: dict[str, str | tuple[str, ...]] = {
            name: f"all_{name}.{first}" for name in ("x_embedder", "final_layer")
        }
        for path, one in self.named_modules():
            if isinstance(one, JointAttention):
                found[f"{path}.qkv"] = tuple(f"{path}.to_{part}" for part in "qkv")
                found[f"{path}.out"] = f"{path}.to_out.0"
        return found

    def forward(
        self,
        x: Sequence[Tensor],
        t: Tensor,
        cap_feats: Sequence[Tensor],
        return_dict: bool = True,
        controlnet_block_samples: Mapping[int, Tensor] | None = None,
        siglip_feats: None = None,
        image_noise_mask: None = None,
        patch_size: int = 2,
        f_patch_size: int = 1,
        joint_attention_kwargs: Options | None = None,
    ) -> Transformer2DModelOutput | tuple[list[Tensor]]:
        """Predict the velocity of latents, from noise to image.

        Args:
            x: the noisy latents (C, F, H, W) of each image.
            t: the time of each, (B,), from 0 for noise to 1 for an image.
            cap_feats: the embedding (K, `cap_feat_dim`) of the caption of each.
            return_dict: if False, return `(predictions,)`.
            controlnet_block_samples: by number of a layer, what is added to its tokens.
            siglip_feats, image_noise_mask: None; networks that see images are not supported.
            patch_size, f_patch_size: which layers for patches to use.
            joint_attention_kwargs: what attention processors of yours take.

        Raises:
            ArgumentError: if a shape doesn't fit, or a layer for patches is missing.
        """
        options = attention_options(joint_attention_kwargs, self, argument="joint_attention_kwargs")
        if siglip_feats is not None or image_noise_mask is not None:
            raise ArgumentError(
                "this network doesn't see images; leave siglip_feats and image_noise_mask out"
            )
        grids = check_shapes(self.config, x, cap_feats, patch_size, f_patch_size)
        key = _key(patch_size, f_patch_size)
        times = timesteps_of(t, torch.empty(len(x), device=x[0].device)).expand(len(x))
        condition = self.t_embedder(times * self.config.t_scale).to(x[0].dtype)

        lines: list[Grid] = [(filled_length(len(one), MULTIPLE), 1, 1) for one in cap_feats]
        begins = [1] * len(x)
        captions = _filled(self.cap_embedder, cap_feats, lines, begins, self.cap_pad_token)
        told = self._waves(captions)
        for block in self.context_refiner:
            captions = self._passed(block, captions, told, options)

        patches = [to_patches(one, patch_size, f_patch_size) for one in x]
        embed, after = self.all_x_embedder[key], [length + 1 for length in captions.lengths]
        images = _filled(embed, patches, grids, after, self.x_pad_token)
        seen = self._waves(images)
        for block in self.noise_refiner:
            images = self._passed(block, images, seen, options, condition)

        whole = images.followed_by(captions)
        both = self._waves(whole)
        added = controlnet_block_samples or {}
        for number, block in enumerate(self.layers):
            whole = self._passed(block, whole, both, options, condition)
            if number in added:
                whole = whole.replaced(whole.values + added[number])

        # Captions have served; only the tokens of images are turned into patches.
        found = self.all_final_layer[key](whole.values[:, : max(images.lengths)], condition)
        samples = [
            from_patches(one[: len(own)], grid, patch_size, f_patch_size)
            for one, own, grid in zip(found, patches, grids)
        ]
        made: Any = samples  # a list, as published
        return Transformer2DModelOutput(made) if return_dict else (samples,)

    def _waves(self, tokens: Sequences) -> tuple[Rotary, Tensor | None]:
        """Return what layers need to know about the places of tokens: turns, and what is hidden."""
        widths, theta = self.config.axes_dims, self.config.rope_theta
        return rotary_waves(tokens.positions, widths, theta=theta), tokens.bias()

    def _passed(self, block: nn.Module, tokens: Sequences, waves: Any, *further: Any) -> Sequences:
        return tokens.replaced(self.run(block, tokens.values, *waves, *further))


def _filled(
    embed: nn.Module, parts: Sequence[Tensor], grids: Sequence[Grid], moments: Any, fill: Tensor
) -> Sequences:
    """Return embedded parts as filled sequences, each on a grid that begins at a moment."""
    embedded = embed(torch.cat([*parts]))
    places = [
        grid_positions(grid, start=(moment, 0, 0), device=embedded.device)
        for grid, moment in zip(grids, moments)
    ]
    return Sequences.filled(embedded.split([*map(len, parts)]), places, fill, MULTIPLE)


def _key(patch: int, frames: int) -> str:
    return f"{patch}-{frames}"
