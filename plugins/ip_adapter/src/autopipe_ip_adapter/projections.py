"""The projections of IP-Adapters, from an encoded image to tokens for attention.

Parameters have the names of published files, so that these load without a conversion table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import WeightsMismatchError
from autopipe.wording import error_summary, listed

Reads: TypeAlias = Literal["embedding", "states", "face"]
"""What a projection reads: the embedding of an image, (N, D); the hidden states of its patches
before the last layer of the encoder, (N, patches, D); or the embedding of a face, (N, D), by a
face recogniser."""

_TOKENS = 4
_HEAD_DIM = 64


class Projection(nn.Module):
    """The base of projections: (N, ...) to tokens (N, `tokens`, `width`).

    Attributes:
        title: the name of the kind, for messages.
        reads: what it reads.
        tokens: the number of tokens per image; None if each state becomes one.
        width: the width of a token, which is that of an encoded prompt.
        in_width: the width D of what it reads.
    """

    title: ClassVar[str] = "a plain IP-Adapter"
    reads: ClassVar[Reads] = "embedding"
    tokens: int | None
    width: int
    in_width: int


class ImageProjection(Projection):
    """Four tokens from the embedding of an image: the plain IP-Adapter."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        outputs, self.in_width = shapes["proj.weight"]
        self.tokens, self.width = _TOKENS, outputs // _TOKENS
        self.proj = nn.Linear(self.in_width, outputs)
        self.norm = nn.LayerNorm(self.width)

    def forward(self, image: Tensor) -> Tensor:
        """Return the tokens."""
        tokens: Tensor = self.norm(torch.unflatten(self.proj(image), -1, (_TOKENS, -1)))
        return tokens


class FullProjection(Projection):
    """A token from each state of an image: the IP-Adapter for full faces."""

    title = "an IP-Adapter for full faces"
    reads = "states"

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        inner, self.in_width = shapes["proj.0.weight"]
        (self.width,), self.tokens = shapes["proj.3.weight"], None
        self.proj = nn.Sequential(
            nn.Linear(self.in_width, inner),
            nn.GELU(),
            nn.Linear(inner, self.width),
            nn.LayerNorm(self.width),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the tokens."""
        tokens: Tensor = self.proj(image)
        return tokens


class FaceProjection(Projection):
    """A few tokens from the embedding of a face: IP-Adapter FaceID."""

    title = "an IP-Adapter FaceID"
    reads = "face"

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        inner, self.in_width = shapes["proj.0.weight"]
        outputs, (self.width,) = shapes["proj.2.weight"][0], shapes["norm.weight"]
        self.tokens = outputs // self.width
        self.proj = nn.Sequential(
            nn.Linear(self.in_width, inner), nn.GELU(), nn.Linear(inner, outputs)
        )
        self.norm = nn.LayerNorm(self.width)

    def forward(self, image: Tensor) -> Tensor:
        """Return the tokens."""
        tokens: Tensor = self.norm(torch.unflatten(self.proj(image), -1, (-1, self.width)))
        return tokens


class ResamplerAttention(nn.Module):
    """Attention of latents (N, Q, D) to the states of an image (N, P, D) and to themselves."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, latents: Tensor, states: Tensor) -> Tensor:
        """Return the change of the latents."""
        latents = self.norm2(latents)
        context = torch.cat([self.norm1(states), latents], dim=1)
        query, key, value = (
            torch.unflatten(one, -1, (-1, _HEAD_DIM)).transpose(1, 2)
            for one in (self.to_q(latents), *self.to_kv(context).chunk(2, dim=-1))
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        changed: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))
        return changed


class Resampler(Projection):
    """Tokens from learned latents that attend to the states of an image: IP-Adapter Plus.

    It is the perceiver resampler of "Flamingo" (Alayrac et al., 2022, arXiv:2204.14198).
    """

    title = "an IP-Adapter Plus"
    reads = "states"

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        _, self.tokens, inner = shapes["latents"]
        self.in_width, self.width = shapes["proj_in.weight"][1], shapes["proj_out.weight"][0]
        self.latents = nn.Parameter(torch.empty(1, self.tokens, inner))
        self.proj_in = nn.Linear(self.in_width, inner)
        self.layers = nn.ModuleList()
        while (query := shapes.get(f"layers.{len(self.layers)}.0.to_q.weight")) is not None:
            if query[0] % _HEAD_DIM:
                raise ValueError(f"queries of {query[0]} are not heads of {_HEAD_DIM}")
            hidden = shapes[f"layers.{len(self.layers)}.1.1.weight"][0]
            # A list, because files number the attention and the perceptron of a layer.
            self.layers.append(
                nn.ModuleList(
                    [
                        ResamplerAttention(inner, query[0]),
                        nn.Sequential(
                            nn.LayerNorm(inner),
                            nn.Linear(inner, hidden, bias=False),
                            nn.GELU(),
                            nn.Linear(hidden, inner, bias=False),
                        ),
                    ]
                )
            )
        self.proj_out = nn.Linear(inner, self.width)
        self.norm_out = nn.LayerNorm(self.width)

    def forward(self, image: Tensor) -> Tensor:
        """Return the tokens."""
        states, latents = self.proj_in(image), self.latents.expand(len(image), -1, -1)
        for layer in self.layers:
            attention, perceptron = layer.children()
            latents = latents + attention(latents, states)
            latents = latents + perceptron(latents)
        tokens: Tensor = self.norm_out(self.proj_out(latents))
        return tokens


_BY_KEY: Mapping[str, type[Projection]] = {
    "proj.weight": ImageProjection,
    "proj.3.weight": FullProjection,
    "latents": Resampler,
    "norm.weight": FaceProjection,
}
"""The projections, each by a tensor that only it and those after it have."""


def make_projection(tensors: Mapping[str, Tensor], origin: str) -> Projection:
    """Return the projection to which these tensors belong, with them as its parameters.

    Args:
        tensors: the tensors of a file below `image_proj`.
        origin: the file, for messages.

    Raises:
        WeightsMismatchError: if it isn't a projection that this package has, or the tensors don't
            fit together.
    """
    if any(name.startswith("perceiver_resampler.") for name in tensors):
        raise WeightsMismatchError(
            f"{origin} is an IP-Adapter FaceID Plus, which reads the embedding of a face and an "
            f"encoded image together; this is not supported, so use an IP-Adapter FaceID or "
            f"an IP-Adapter Plus"
        )
    kind = next((one for name, one in _BY_KEY.items() if name in tensors), None)
    if kind is None:
        raise WeightsMismatchError(
            f"{origin} is not an IP-Adapter of a kind that is supported (plain, Plus, full face "
            f"and FaceID): below image_proj it has {listed(tensors, 5) or 'nothing'}"
        )
    try:
        with torch.device("meta"):
            made = kind({name: tensor.shape for name, tensor in tensors.items()})
        made.load_state_dict(dict(tensors), assign=True)
    except (KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise WeightsMismatchError(
            f"{origin} has tensors below image_proj that don't fit together as those of "
            f"{kind.title} ({error_summary(error)})"
        ) from error
    return made.requires_grad_(False)
