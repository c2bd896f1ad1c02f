"""The text encoder of CLIP ("Learning Transferable Visual Models", Radford et al., 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError

from .attention import expanded_mask
from .base import Encoder, encoder_config
from .clip_layers import CLIPEncoder
from .outputs import EncoderOutput, TextEmbedsOutput

_WRONG_END_TOKEN = 2
"""What the first published configs give as the end token, whatever the vocabulary."""


class CLIPTextEmbeddings(nn.Module):
    """Embeds tokens and their positions."""

    position_ids: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        count = config.max_position_embeddings
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(count, config.hidden_size)
        self.register_buffer("position_ids", torch.arange(count)[None], persistent=False)

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return states (B, N, D).

        Raises:
            ArgumentError: if there are neither tokens nor their embeddings, or too many.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ArgumentError("a text encoder needs input_ids, the tokens (B, N) of texts")
            inputs_embeds = self.token_embedding(input_ids)
        length, most = inputs_embeds.shape[-2], self.position_embedding.weight.shape[0]
        if length > most:
            raise ArgumentError(
                f"the texts have {length} tokens, but this text encoder reads {most} at most; "
                f"truncate them"
            )
        if position_ids is None:
            position_ids = self.position_ids[:, :length]
        embedded: Tensor = inputs_embeds + self.position_embedding(position_ids)
        return embedded


class CLIPTextEncoder(Encoder):
    """The entries that both text encoders of CLIP have."""

    model_type = "clip_text_model"
    config_section = "text_config"
    _no_split_modules = ("CLIPTextEmbeddings", "CLIPEncoderLayer")

    @encoder_config
    def __init__(
        self,
        vocab_size: int = 49408,
        hidden_size: int = 512,
        intermediate_size: int = 2048,
        projection_dim: int | None = 512,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 8,
        max_position_embeddings: int = 77,
        hidden_act: str = "quick_gelu",
        layer_norm_eps: float = 1e-5,
        attention_dropout: float = 0.0,
        initializer_range: float = 0.02,
        initializer_factor: float = 1.0,
        pad_token_id: int | None = 1,
        bos_token_id: int | None = 49406,
        eos_token_id: int = 49407,
    ) -> None:
        super().__init__()
        self.make_layers()


class CLIPTextModel(CLIPTextEncoder):
    """Encodes texts; the pooled state is that of the end token."""

    wrappers = frozenset({"text_model", "clip"})
    embedding_paths = ("embeddings.token_embedding",)
    twin = "CLIPTextModel"

    def make_layers(self) -> None:
        config = self.config
        self.embeddings = CLIPTextEmbeddings(config)
        self.encoder = CLIPEncoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.eos_token_id = config.eos_token_id

    @property
    def text_model(self) -> CLIPTextModel:
        """This network, which is a part of its own in older releases of transformers."""
        return self

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return an `EncoderOutput`, or its tuple.

        Args:
            input_ids: the tokens (B, N).
            attention_mask: (B, N), 0 for padding; None reads all tokens.
            position_ids: (B, N) or (1, N), by default 0, 1, 2 ...
            output_attentions: not supported.
            output_hidden_states: whether to return the states of all layers.
            return_dict: False returns a tuple.

        Raises:
            ArgumentError: if the tokens are absent or too many, or attention weights are asked for.
        """
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        if input_ids is None:
            raise ArgumentError("a text encoder needs input_ids, the tokens (B, N) of texts")
        ids = input_ids.view(-1, input_ids.shape[-1])
        states = self.embeddings(input_ids=ids, position_ids=position_ids)
        mask = expanded_mask(attention_mask, states, causal=True)
        every = self.encoder(states, mask, True)
        last = self.final_layer_norm(every[-1])
        rows = torch.arange(last.shape[0], device=last.device)
        output = EncoderOutput(
            last, last[rows, self._ends(ids.to(last.device))], every if wants_states else None
        )
        return output.to_tuple() if return_dict is False else output

    def _ends(self, ids: Tensor) -> Tensor:
        """Return the position (B) of the end token in each text."""
        numbers = ids.to(torch.int)
        if self.eos_token_id == _WRONG_END_TOKEN:
            # The end token is the last of the vocabulary.
            return numbers.argmax(dim=-1)
        is_end: Tensor = numbers == self.eos_token_id
        return is_end.int().argmax(dim=-1)


class CLIPTextModelWithProjection(CLIPTextEncoder):
    """Encodes texts, and projects the pooled state to the space that images share."""

    wrappers = frozenset({"text_model"})
    embedding_paths = ("text_model.embeddings.token_embedding",)
    twin = "CLIPTextModelWithProjection"

    def make_layers(self) -> None:
        if self.config.projection_dim is None:
            raise ConfigError("projection_dim is None; give the width of the projection")
        self.text_model = CLIPTextModel(self.config)
        self.text_projection = nn.Linear(
            self.config.hidden_size, self.config.projection_dim, bias=False
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return a `TextEmbedsOutput`, or its tuple; arguments as for `CLIPTextModel`."""
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        found = self.text_model(
            input_ids, attention_mask, position_ids, output_hidden_states=wants_states
        )
        embeds = self.text_projection(found.pooler_output)
        output = TextEmbedsOutput(embeds, found.last_hidden_state, found.hidden_states)
        return output.to_tuple() if return_dict is False else output
