"""The image encoder of CLIP ("Learning Transferable Visual Models", Radford et al., 2021)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError

from .base import Encoder, encoder_config
from .clip_layers import CLIPEncoder
from .outputs import EncoderOutput, ImageEmbedsOutput


class CLIPVisionEmbeddings(nn.Module):
    """Embeds the patches of images, with a token for the whole image before them."""

    position_ids: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, self.patch_size, self.image_size = (
            config.hidden_size,
            config.patch_size,
            config.image_size,
        )
        if self.patch_size > self.image_size:
            raise ConfigError(
                f"patch_size is {self.patch_size}, which is more than image_size, "
                f"{self.image_size}; correct one"
            )
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.patch_embedding = nn.Conv2d(
            config.num_channels, width, self.patch_size, stride=self.patch_size, bias=False
        )
        count = (self.image_size // self.patch_size) ** 2 + 1
        self.position_embedding = nn.Embedding(count, width)
        self.register_buffer("position_ids", torch.arange(count)[None], persistent=False)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Return states (B, 1 + patches, D).

        Args:
            pixel_values: (B, channels, H, W); cast to the dtype of the weights.
            interpolate_pos_encoding: whether the images may have any size.

        Raises:
            ArgumentError: if the images have another size than the encoder.
        """
        height, width = pixel_values.shape[-2:]
        if not interpolate_pos_encoding and (height, width) != (self.image_size,) * 2:
            raise ArgumentError(
                f"the images have {width} x {height} pixels, but this image encoder reads "
                f"{self.image_size} x {self.image_size}; resize them, or pass "
                f"interpolate_pos_encoding=True"
            )
        patches = self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype))
        whole = self.class_embedding.expand(patches.shape[0], 1, -1)
        states = torch.cat([whole, patches.flatten(2).transpose(1, 2)], dim=1)
        places = self.position_embedding(self.position_ids)
        if (height, width) != (self.image_size,) * 2:
            places = self._resized(places, height, width)
        embedded: Tensor = states + places
        return embedded

    def _resized(self, places: Tensor, height: int, width: int) -> Tensor:
        """Return the embeddings (1, 1 + patches, D) of the positions in images of another size."""
        side = self.image_size // self.patch_size
        grid = places[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        size = (height // self.patch_size, width // self.patch_size)
        grid = F.interpolate(grid, size=size, mode="bicubic", align_corners=False)
        return torch.cat([places[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


class CLIPVisionEncoder(Encoder):
    """The entries that both image encoders of CLIP have."""

    model_type = "clip_vision_model"
    config_section = "vision_config"
    main_input_name = "pixel_values"
    _no_split_modules = ("CLIPVisionEmbeddings", "CLIPEncoderLayer")

    @encoder_config
    def __init__(
        self,
        hidden_size: int = 768,
        intermediate_size: int = 3072,
        projection_dim: int = 512,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        num_channels: int = 3,
        image_size: int = 224,
        patch_size: int = 32,
        hidden_act: str = "quick_gelu",
        layer_norm_eps: float = 1e-5,
        attention_dropout: float = 0.0,
        initializer_range: float = 0.02,
        initializer_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.make_layers()


class CLIPVisionModel(CLIPVisionEncoder):
    """Encodes images; the pooled state is that of the token for the whole image."""

    wrappers = frozenset({"vision_model", "clip"})
    embedding_paths = ("embeddings.patch_embedding",)
    twin = "CLIPVisionModel"

    def make_layers(self) -> None:
        config = self.config
        width, eps = config.hidden_size, config.layer_norm_eps
        self.embeddings = CLIPVisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(width, eps=eps)  # The name in checkpoints.
        self.encoder = CLIPEncoder(config)
        self.post_layernorm = nn.LayerNorm(width, eps=eps)

    @property
    def vision_model(self) -> CLIPVisionModel:
        """This network, which is a part of its own in older releases of transformers."""
        return self

    def forward(
        self,
        pixel_values: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return an `EncoderOutput`, or its tuple.

        Args:
            pixel_values: the images (B, channels, H, W), normalised.
            interpolate_pos_encoding: whether the images may have any size.
            output_attentions: not supported.
            output_hidden_states: whether to return the states of all layers.
            return_dict: False returns a tuple.

        Raises:
            ArgumentError: if the images are absent or of another size, or attention weights are
                asked for.
        """
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        if pixel_values is None:
            raise ArgumentError("an image encoder needs pixel_values, the images (B, C, H, W)")
        states = self.embeddings(pixel_values, interpolate_pos_encoding)
        every = self.encoder(self.pre_layrnorm(states))
        pooled = self.post_layernorm(every[-1][:, 0, :])
        output = EncoderOutput(every[-1], pooled, every if wants_states else None)
        return output.to_tuple() if return_dict is False else output


class CLIPVisionModelWithProjection(CLIPVisionEncoder):
    """Encodes images, and projects the pooled state to the space that texts share."""

    wrappers = frozenset({"vision_model"})
    embedding_paths = ("vision_model.embeddings.patch_embedding",)
    twin = "CLIPVisionModelWithProjection"

    def make_layers(self) -> None:
        self.vision_model = CLIPVisionModel(self.config)
        self.visual_projection = nn.Linear(
            self.config.hidden_size, self.config.projection_dim, bias=False
        )

    def forward(
        self,
        pixel_values: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return an `ImageEmbedsOutput`, or its tuple; arguments as for `CLIPVisionModel`."""
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        found = self.vision_model(
            pixel_values, interpolate_pos_encoding, output_hidden_states=wants_states
        )
        output = ImageEmbedsOutput(
            self.visual_projection(found.pooler_output),
            found.last_hidden_state,
            found.hidden_states,
        )
        return output.to_tuple() if return_dict is False else output
