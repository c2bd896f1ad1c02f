"""The layers that the text and the image encoder of CLIP share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..networks.checkpointing import Checkpointed
from .activations import activation
from .attention import attend, check_heads


class CLIPAttention(nn.Module):
    """Self-attention."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, self.num_heads = config.hidden_size, config.num_attention_heads
        check_heads(width, self.num_heads, ("hidden_size", "num_attention_heads"))
        self.dropout = config.attention_dropout
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Return states (B, N, D); `mask` and `causal` as for `attend`."""
        attended = attend(
            self.q_proj(states),
            self.k_proj(states),
            self.v_proj(states),
            heads=self.num_heads,
            mask=mask,
            causal=causal,
            dropout=self.dropout if self.training else 0.0,
        )
        projected: Tensor = self.out_proj(attended)
        return projected


class CLIPMLP(nn.Module):
    """The feed-forward part of a layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.activation_fn = activation(config.hidden_act)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        """Return states (B, N, D)."""
        projected: Tensor = self.fc2(self.activation_fn(self.fc1(states)))
        return projected


class CLIPEncoderLayer(nn.Module):
    """Self-attention, then a feed-forward part, each after a norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.self_attn = CLIPAttention(config)
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.mlp = CLIPMLP(config)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)

    def forward(self, states: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Return states (B, N, D)."""
        states = states + self.self_attn(self.layer_norm1(states), mask, causal)
        changed: Tensor = states + self.mlp(self.layer_norm2(states))
        return changed


class CLIPEncoder(Checkpointed):
    """All layers of an encoder."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [CLIPEncoderLayer(config) for _ in range(config.num_hidden_layers)]
        )

    def forward(
        self, states: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the input and the output of each layer."""
        every = [states]
        for layer in self.layers:
            every.append(self.run(layer, every[-1], mask, causal))
        return tuple(every)
