"""The outputs of encoders, with the names and order that transformers gives their fields."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autopipe.outputs import BaseOutput


@dataclass
class EncoderOutput(BaseOutput):
    """The output of an encoder without a projection.

    Attributes:
        last_hidden_state: the hidden states after the last norm, (B, N, D).
        pooler_output: one state for each input, (B, D); T5 has none.
        hidden_states: the input of the first layer and the output of each layer, if requested.
        attentions: always None; see `Encoder.to_transformers`.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TextEmbedsOutput(BaseOutput):
    """The output of a text encoder with a projection: `text_embeds` is (B, projection_dim)."""

    text_embeds: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class ImageEmbedsOutput(BaseOutput):
    """The output of an image encoder with a projection: `image_embeds` is (B, projection_dim)."""

    image_embeds: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
