"""The text encoder of latent diffusion: a transformer that was trained with the U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError
from autopipe.values import Range
from autopipe_components.encoders.activations import activation
from autopipe_components.encoders.attention import attend, expanded_mask
from autopipe_components.encoders.base import Encoder, encoder_config
from autopipe_components.encoders.limits import LIMITS
from autopipe_components.encoders.outputs import EncoderOutput
from autopipe_components.networks.checkpointing import Checkpointed


class LDMBertAttention(nn.Module):
    """Self-attention whose heads together may be wider than the states."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, self.num_heads = config.d_model, config.encoder_attention_heads
        inner = config.head_dim * self.num_heads
        self.k_proj = nn.Linear(width, inner, bias=False)
        self.v_proj = nn.Linear(width, inner, bias=False)
        self.q_proj = nn.Linear(width, inner, bias=False)
        self.out_proj = nn.Linear(inner, width)
        self.dropout = config.attention_dropout

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return states (B, N, D); `mask` as for `attend`."""
        attended = attend(
            self.q_proj(states),
            self.k_proj(states),
            self.v_proj(states),
            heads=self.num_heads,
            mask=mask,
            dropout=self.dropout if self.training else 0.0,
        )
        projected: Tensor = self.out_proj(attended)
        return projected


class LDMBertEncoderLayer(nn.Module):
    """Self-attention, then a feed-forward part, each after a norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn = LDMBertAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.activation_fn = activation(config.activation_function, "activation_function")
        self.fc1 = nn.Linear(width, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return states (B, N, D)."""
        states = states + self.dropout(self.self_attn(self.self_attn_layer_norm(states), mask))
        inner = self.activation_dropout(self.activation_fn(self.fc1(self.final_layer_norm(states))))
        changed: Tensor = states + self.dropout(self.fc2(inner))
        return changed


class LDMBertEncoder(Checkpointed):
    """Embeds tokens and their positions, and passes them through all layers."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.d_model)
        self.layers = nn.ModuleList(
            LDMBertEncoderLayer(config) for _ in range(config.encoder_layers)
        )
        self.layer_norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, ids: Tensor, mask: Tensor | None, positions: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Return the input and the output of each layer, the last one after a norm."""
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device)[None]
        every = [self.dropout(self.embed_tokens(ids) + self.embed_positions(positions))]
        mask = expanded_mask(mask, every[0], causal=False)
        for layer in self.layers:
            every.append(self.run(layer, every[-1], mask))
        return (*every[:-1], self.layer_norm(every[-1]))


class LDMBertModel(Encoder):
    """Encodes texts as hidden states ("High-Resolution Image Synthesis with Latent Diffusion
    Models", Rombach et al. 2022, arXiv:2112.10752, section 4.3.1).

    Raises:
        ConfigError: if a value is not supported.
    """

    model_type = "ldmbert"
    config_aliases = {  # noqa: RUF012  # The annotation is in the base class.
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
    }
    embedding_paths = ("model.embed_tokens",)
    _no_split_modules = ("LDMBertEncoderLayer",)
    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "encoder_layers": LIMITS["num_hidden_layers"],
        "encoder_ffn_dim": LIMITS["intermediate_size"],
        "encoder_attention_heads": LIMITS["num_attention_heads"],
        "head_dim": LIMITS["d_kv"],
        "dropout": LIMITS["attention_dropout"],
        "activation_dropout": LIMITS["attention_dropout"],
        "encoder_layerdrop": LIMITS["attention_dropout"],
        "init_std": LIMITS["initializer_range"],
    }

    @encoder_config
    def __init__(
        self,
        vocab_size: int = 30522,
        max_position_embeddings: int = 77,
        encoder_layers: int = 32,
        encoder_ffn_dim: int = 5120,
        encoder_attention_heads: int = 8,
        head_dim: int = 64,
        encoder_layerdrop: float = 0.0,
        activation_function: str = "gelu",
        d_model: int = 1280,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        init_std: float = 0.02,
        classifier_dropout: float = 0.0,
        scale_embedding: bool = False,
        use_cache: bool = True,
        pad_token_id: int | None = 0,
    ) -> None:
        super().__init__()
        self.make_layers()

    def make_layers(self) -> None:
        # Saved configs have this second name of it, too.
        self.register_to_config(num_hidden_layers=self.config.encoder_layers)
        config = self.config
        self.model = LDMBertEncoder(config)
        # Checkpoints have it, from the training; embeddings of prompts don't pass it.
        self.to_logits = nn.Linear(config.d_model, config.vocab_size)

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
            attention_mask: (B, N), 0 for padding; None reads all tokens, as in training.
            position_ids: (B, N) or (1, N), by default 0, 1, 2 ...
            output_attentions: not supported.
            output_hidden_states: whether to return the states of all layers.
            return_dict: False returns a tuple.

        Raises:
            ArgumentError: if the tokens are absent or too many, or attention weights are asked for.
        """
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        most = self.config.max_position_embeddings
        if input_ids is None or input_ids.shape[-1] > most:
            given = "none" if input_ids is None else input_ids.shape[-1]
            raise ArgumentError(
                f"LDMBertModel needs input_ids, at most {most} tokens of each text, and got {given}"
            )
        every = self.model(input_ids, attention_mask, position_ids)
        output = EncoderOutput(every[-1], hidden_states=every if wants_states else None)
        return output.to_tuple() if return_dict is False else output
