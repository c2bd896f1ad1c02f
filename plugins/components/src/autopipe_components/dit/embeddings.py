"""The condition of a transformer: time, guidance and a text as a whole, in one vector."""

from __future__ import annotations

from torch import Tensor, nn

from autopipe.errors import ArgumentError

from ..networks.embeddings import TimestepEmbedding, Timesteps

_WAVES = 256
"""The width of the sinusoidal embedding."""


class TextProjection(nn.Module):
    """A perceptron with SiLU, (B, in_features) -> (B, width)."""

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_features, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, text: Tensor) -> Tensor:
        projected: Tensor = self.linear_2(nn.functional.silu(self.linear_1(text)))
        return projected


class TimeTextEmbedding(nn.Module):
    """The sum of the embeddings of time, pooled text and, if `guided`, the guidance scale.

    "On Distillation of Guided Diffusion Models" (Meng et al., 2023, arXiv:2210.03142) is where a
    network takes the guidance scale as an input.

    Args:
        width: of the result.
        text_width: of the pooled text.
        guided: whether the network takes a guidance scale.
    """

    def __init__(self, width: int, text_width: int, *, guided: bool = False) -> None:
        super().__init__()
        self.time_proj = Timesteps(_WAVES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.timestep_embedder = TimestepEmbedding(_WAVES, width)
        self.guidance_embedder = TimestepEmbedding(_WAVES, width) if guided else None
        self.text_embedder = TextProjection(text_width, width)

    def forward(self, timestep: Tensor, pooled: Tensor, guidance: Tensor | None = None) -> Tensor:
        """Return the condition, (B, width).

        Args:
            timestep: (B,), from 0 to 1000.
            pooled: (B, text_width).
            guidance: the guidance scale times 1000, (B,).

        Raises:
            ArgumentError: if the guidance scale is missing, or given to a network without one.
        """
        embedded = self.timestep_embedder(self.time_proj(timestep).to(pooled.dtype))
        if (guidance is None) != (self.guidance_embedder is None):
            raise ArgumentError(
                "guidance was given to a network that doesn't take it; leave it out"
                if self.guidance_embedder is None
                else "this network takes the guidance scale: pass guidance, one for each sample"
            )
        if self.guidance_embedder is not None and guidance is not None:
            scales = self.guidance_embedder(self.time_proj(guidance).to(pooled.dtype))
            embedded = embedded + scales
        condition: Tensor = embedded + self.text_embedder(pooled)
        return condition
