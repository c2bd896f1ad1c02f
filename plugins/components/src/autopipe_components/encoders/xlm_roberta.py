"""XLM-RoBERTa ("Unsupervised Cross-lingual Representation Learning at Scale", arXiv 1911.02116)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError

from ..networks.checkpointing import Checkpointed
from .activations import activation
from .attention import attend, check_heads, expanded_mask
from .base import Encoder, encoder_config
from .outputs import EncoderOutput


class XLMRobertaEmbeddings(nn.Module):
    """Embeds tokens, their kinds and their positions, which are counted after the padding token."""

    position_ids: Tensor
    token_type_ids: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, count, self.padding_idx = (
            config.hidden_size,
            config.max_position_embeddings,
            config.pad_token_id,
        )
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=self.padding_idx)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.position_embeddings = nn.Embedding(count, width, padding_idx=self.padding_idx)
        self.register_buffer("position_ids", torch.arange(count)[None], persistent=False)
        kinds = torch.zeros(1, count, dtype=torch.long)
        self.register_buffer("token_type_ids", kinds, persistent=False)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """Return states (B, N, D).

        Raises:
            ArgumentError: if there are too many tokens.
        """
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.word_embeddings(input_ids)
        shape = inputs_embeds.shape[:-1]
        first, most = self.padding_idx + 1, self.position_embeddings.num_embeddings
        if position_ids is None:
            if shape[1] > most - first:
                raise ArgumentError(
                    f"the texts have {shape[1]} tokens, but this text encoder reads "
                    f"{most - first} at most; truncate them"
                )
            if input_ids is None:
                places = torch.arange(first, first + shape[1], device=inputs_embeds.device)
                position_ids = places[None].expand(shape)
            else:
                is_text = input_ids.ne(self.padding_idx).int()
                position_ids = (torch.cumsum(is_text, dim=1) * is_text).long() + self.padding_idx
        if token_type_ids is None:
            token_type_ids = torch.zeros(shape, dtype=torch.long, device=inputs_embeds.device)
        states = inputs_embeds + self.token_type_embeddings(token_type_ids)
        states = states + self.position_embeddings(position_ids)
        embedded: Tensor = self.dropout(self.LayerNorm(states))
        return embedded


class XLMRobertaSelfAttention(nn.Module):
    """Self-attention, before the output projection."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, self.num_attention_heads = config.hidden_size, config.num_attention_heads
        check_heads(width, self.num_attention_heads, ("hidden_size", "num_attention_heads"))
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return states (B, N, D)."""
        return attend(
            self.query(states),
            self.key(states),
            self.value(states),
            heads=self.num_attention_heads,
            mask=mask,
            dropout=self.dropout.p if self.training else 0.0,
        )


class XLMRobertaOutput(nn.Module):
    """The end of each half of a layer: a projection, added to the input of the half, and a norm."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, before: Tensor) -> Tensor:
        """Return states (B, N, D); `before` is the input of the half."""
        changed: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + before)
        return changed


class XLMRobertaAttention(nn.Module):
    """The first half of a layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.self = XLMRobertaSelfAttention(config)
        self.output = XLMRobertaOutput(config, config.hidden_size)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return states (B, N, D)."""
        changed: Tensor = self.output(self.self(states, mask), states)
        return changed


class XLMRobertaIntermediate(nn.Module):
    """The beginning of the second half of a layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = activation(config.hidden_act)

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, N, intermediate_size)."""
        return self.intermediate_act_fn(self.dense(states))


class XLMRobertaLayer(nn.Module):
    """Self-attention, then a feed-forward part."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = XLMRobertaAttention(config)
        self.intermediate = XLMRobertaIntermediate(config)
        self.output = XLMRobertaOutput(config, config.intermediate_size)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return states (B, N, D)."""
        states = self.attention(states, mask)
        changed: Tensor = self.output(self.intermediate(states), states)
        return changed


class XLMRobertaEncoder(Checkpointed):
    """All layers."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [XLMRobertaLayer(config) for _ in range(config.num_hidden_layers)]
        )

    def forward(self, states: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        """Return the input and the output of each layer."""
        every = [states]
        for layer in self.layer:
            every.append(self.run(layer, every[-1], mask))
        return tuple(every)


class XLMRobertaPooler(nn.Module):
    """Makes one state of that of the first token."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """Return (B, D) from (B, N, D)."""
        return torch.tanh(self.dense(states[:, 0]))


class XLMRobertaBase(Encoder):
    """The entries that networks with an XLM-RoBERTa have."""

    model_type = "xlm-roberta"
    _no_split_modules = ("XLMRobertaEmbeddings", "XLMRobertaLayer")

    @encoder_config
    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int = 1,
        bos_token_id: int | None = 0,
        eos_token_id: int | list[int] | None = 2,
        use_cache: bool = True,
        classifier_dropout: float | None = None,
        is_decoder: bool = False,
        add_cross_attention: bool = False,
        tie_word_embeddings: bool = True,
    ) -> None:
        super().__init__()
        self.check_config(self.config)
        self.make_layers()

    @classmethod
    def check_config(cls, config: Any) -> None:
        for name in ("is_decoder", "add_cross_attention"):
            if config[name]:
                raise ConfigError(f"{name} is true, but {cls.__name__} is an encoder; correct it")
        for name in ("vocab_size", "max_position_embeddings"):
            if config["pad_token_id"] >= config[name]:
                raise ConfigError(
                    f"pad_token_id is {config['pad_token_id']}, which must be less than {name}, "
                    f"{config[name]}; correct one"
                )


class XLMRobertaModel(XLMRobertaBase):
    """Encodes texts of many languages; the pooled state is made of that of the first token."""

    wrappers = frozenset({"text_model", "vision_model", "roberta"})
    embedding_paths = ("embeddings.word_embeddings",)
    twin = "XLMRobertaModel"

    def make_layers(self) -> None:
        self.embeddings = XLMRobertaEmbeddings(self.config)
        self.encoder = XLMRobertaEncoder(self.config)
        self.pooler = XLMRobertaPooler(self.config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return an `EncoderOutput`, or its tuple.

        Args:
            input_ids: the tokens (B, N).
            attention_mask: (B, N), 0 for padding; None reads all tokens.
            token_type_ids: the kind of each token, by default 0.
            position_ids: (B, N), by default counted from after the padding token.
            inputs_embeds: embeddings (B, N, D) in place of tokens.
            output_attentions: not supported.
            output_hidden_states: whether to return the states of all layers.
            return_dict: False returns a tuple.

        Raises:
            ArgumentError: if there are neither tokens nor embeddings, or both, or too many tokens,
                or attention weights are asked for.
        """
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        if (input_ids is None) == (inputs_embeds is None):
            raise ArgumentError("a text encoder needs either input_ids or inputs_embeds")
        states = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        every = self.encoder(states, expanded_mask(attention_mask, states, causal=False))
        pooled = self.pooler(every[-1])
        output = EncoderOutput(every[-1], pooled, every if wants_states else None)
        return output.to_tuple() if return_dict is False else output
