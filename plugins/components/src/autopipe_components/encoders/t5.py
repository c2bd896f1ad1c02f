"""The encoder of T5 ("Exploring the Limits of Transfer Learning", Raffel et al., 2020)."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe.wording import shown

from ..networks.checkpointing import Checkpointed
from .attention import expanded_mask
from .base import Encoder, encoder_config
from .outputs import EncoderOutput
from .t5_layers import T5Block, T5LayerNorm

_ALIASES = MappingProxyType(
    {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
)


class T5Stack(Checkpointed):
    """The embeddings, whose table is that of the network that it belongs to, and all blocks."""

    def __init__(self, config: Any, table: Any) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(table.shape[0], table.shape[1], _weight=table.detach())
        self.embed_tokens.weight = table
        self.block = nn.ModuleList(
            [T5Block(config, is_first=number == 0) for number in range(config.num_layers)]
        )
        self.final_layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, states: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, ...]:
        """Return the input and the output of each block; the last one after the norm."""
        every, bias = [self.dropout(states)], None
        mask = expanded_mask(attention_mask, states, causal=False)
        for block in self.block:
            changed, bias = self.run(block, every[-1], mask, bias)
            every.append(changed)
        last = self.dropout(self.final_layer_norm(every[-1]))
        return (*every[:-1], last) if len(self.block) else (*every, last)


class T5EncoderModel(Encoder):
    """Encodes texts. The matrices `wo` stay float32 in float16, whose range they exceed."""

    model_type = "t5"
    config_aliases = _ALIASES
    wrappers = frozenset({"text_model", "vision_model", "transformer"})
    embedding_paths = ("shared", "encoder.embed_tokens")
    twin = "T5EncoderModel"
    _no_split_modules = ("T5Block",)
    _keep_in_fp32_modules = ("wo",)

    @encoder_config
    def __init__(
        self,
        vocab_size: int = 32128,
        d_model: int = 512,
        d_kv: int = 64,
        d_ff: int = 2048,
        num_layers: int = 6,
        num_decoder_layers: int | None = None,
        num_heads: int = 8,
        relative_attention_num_buckets: int = 32,
        relative_attention_max_distance: int = 128,
        dropout_rate: float = 0.1,
        layer_norm_epsilon: float = 1e-6,
        initializer_factor: float = 1.0,
        feed_forward_proj: str = "relu",
        dense_act_fn: str | None = None,
        is_gated_act: bool | None = None,
        is_encoder_decoder: bool = False,
        use_cache: bool = False,
        pad_token_id: int | None = 0,
        eos_token_id: int | list[int] | None = 1,
        classifier_dropout: float = 0.0,
        is_decoder: bool = False,
        tie_word_embeddings: bool = True,
        scale_decoder_outputs: bool | None = None,
    ) -> None:
        super().__init__()
        name, is_gated = _feed_forward(feed_forward_proj)
        scales = scale_decoder_outputs
        self.register_to_config(
            dense_act_fn=dense_act_fn or name,
            is_gated_act=is_gated if is_gated_act is None else is_gated_act,
            num_decoder_layers=num_layers if num_decoder_layers is None else num_decoder_layers,
            scale_decoder_outputs=tie_word_embeddings is not False if scales is None else scales,
            # What transformers sets for the encoder alone.
            is_encoder_decoder=False,
            use_cache=False,
            tie_word_embeddings=True,
        )
        self.make_layers()

    @classmethod
    def check_config(cls, config: Any) -> None:
        if config["is_decoder"]:
            raise ConfigError("is_decoder is true, but a T5EncoderModel is an encoder; correct it")
        exact = config["relative_attention_num_buckets"] // 4
        if config["relative_attention_max_distance"] <= exact:
            raise ConfigError(
                f"relative_attention_max_distance is {config['relative_attention_max_distance']}, "
                f"which must be more than a quarter of relative_attention_num_buckets, {exact}"
            )

    def make_layers(self) -> None:
        self.check_config(self.config)
        self.shared = nn.Embedding(self.config.vocab_size, self.config.d_model)
        self.encoder = T5Stack(self.config, self.shared.weight)

    @classmethod
    def kept_in_fp32(cls, dtype: torch.dtype | None) -> Collection[str]:
        return cls._keep_in_fp32_modules if dtype is torch.float16 else ()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return an `EncoderOutput` without a pooled state, or its tuple.

        Args:
            input_ids: the tokens (B, N).
            attention_mask: (B, N), 0 for padding; None reads all tokens.
            inputs_embeds: embeddings (B, N, D) in place of tokens.
            output_attentions: not supported.
            output_hidden_states: whether to return the states of all blocks.
            return_dict: False returns a tuple.

        Raises:
            ArgumentError: if there are neither tokens nor embeddings, or both, or attention weights
                are asked for.
        """
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        if (input_ids is None) == (inputs_embeds is None):
            raise ArgumentError("a text encoder needs either input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.encoder.embed_tokens(input_ids)
        every = self.encoder(inputs_embeds, attention_mask)
        output = EncoderOutput(every[-1], hidden_states=every if wants_states else None)
        return output.to_tuple() if return_dict is False else output


def _feed_forward(entry: str) -> tuple[str, bool]:
    """Return the activation that `feed_forward_proj` names, and whether it is gated."""
    first, *rest = entry.split("-")
    if len(rest) > 1 or (rest and first != "gated"):
        raise ConfigError(
            f"feed_forward_proj is {shown(entry)}; it must be the name of an activation function, "
            f"such as 'relu', or one after 'gated-', such as 'gated-gelu'"
        )
    # In the checkpoints that have it, gelu is the approximation.
    name = "gelu_new" if entry == "gated-gelu" else entry.rpartition("-")[2]
    return name, bool(rest)
