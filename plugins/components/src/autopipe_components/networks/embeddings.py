"""Embeddings of timesteps."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown

from .activations import get_activation


class Timesteps(nn.Module):
    """Sinusoidal embedding of scalars, (N,) -> (N, num_channels) in float32.

    Frequencies fall geometrically from 1 to about 1/10000, as in "Attention Is All You Need".
    `flip_sin_to_cos` puts the cosines first; `downscale_freq_shift` moves the lowest frequency.
    """

    def __init__(
        self, num_channels: int, *, flip_sin_to_cos: bool, downscale_freq_shift: float
    ) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.flip_sin_to_cos = flip_sin_to_cos
        self.downscale_freq_shift = downscale_freq_shift

    def forward(self, timesteps: Tensor) -> Tensor:
        half = self.num_channels // 2
        steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
        exponents = -math.log(10000) * steps / (half - self.downscale_freq_shift)
        angles = timesteps[:, None].float() * exponents.exp()
        waves = _waves(angles, cosines_first=self.flip_sin_to_cos)
        return F.pad(waves, (0, self.num_channels % 2))


class FourierTimesteps(nn.Module):
    """Embedding of scalars by fixed random frequencies, (N,) -> (N, 2 * num_frequencies).

    "Fourier Features Let Networks Learn High Frequency Functions" (Tancik et al., 2020). The
    frequencies are part of the checkpoint and are not trained.
    """

    def __init__(self, num_frequencies: int, *, flip_sin_to_cos: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_frequencies), requires_grad=False)
        self.flip_sin_to_cos = flip_sin_to_cos

    def forward(self, timesteps: Tensor) -> Tensor:
        angles = timesteps[:, None] * self.weight * 2 * math.pi
        return _waves(angles, cosines_first=self.flip_sin_to_cos)


def timesteps_of(timestep: Tensor | float | int, sample: Tensor) -> Tensor:
    """Return `timestep` as a tensor: (1,) for the whole batch, or (B,).

    Raises:
        ArgumentError: if `timestep` is neither a number nor a tensor of length 1 or B.
    """
    try:
        timesteps = torch.as_tensor(timestep, device=sample.device).reshape(-1)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ArgumentTypeError(
            f"timestep must be a number or a tensor of them, not {shown(timestep)}"
        ) from None
    if timesteps.shape[0] not in (1, sample.shape[0]):
        raise ArgumentError(
            f"{timesteps.shape[0]} timesteps were given for {sample.shape[0]} samples; "
            "give one for all or one for each"
        )
    return timesteps


class TimestepEmbedding(nn.Module):
    """A two-layer perceptron, (N, in_channels) -> (N, out_dim), `time_embed_dim` by default.

    With `cond_proj_dim` it takes a second input (N, cond_proj_dim) that is projected and added
    to the first, such as the guidance scale of a latent consistency model. `entry` is the config
    entry that names `act_fn`.
    """

    def __init__(
        self,
        in_channels: int,
        time_embed_dim: int,
        *,
        act_fn: str = "silu",
        post_act_fn: str | None = None,
        cond_proj_dim: int | None = None,
        out_dim: int | None = None,
        entry: str = "act_fn",
    ) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, time_embed_dim)
        self.cond_proj = (
            None if cond_proj_dim is None else nn.Linear(cond_proj_dim, in_channels, bias=False)
        )
        self.linear_2 = nn.Linear(time_embed_dim, out_dim or time_embed_dim)
        self.act = get_activation(act_fn, entry)
        self.post_act = (
            None if post_act_fn is None else get_activation(post_act_fn, "timestep_post_act")
        )

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            if self.cond_proj is None:
                raise ArgumentError(
                    "timestep_cond was given to a model without time_cond_proj_dim; leave it out"
                )
            sample = sample + self.cond_proj(condition)
        sample = self.linear_2(self.act(self.linear_1(sample)))
        return sample if self.post_act is None else self.post_act(sample)


def _waves(angles: Tensor, *, cosines_first: bool) -> Tensor:
    waves = (angles.cos(), angles.sin()) if cosines_first else (angles.sin(), angles.cos())
    return torch.cat(waves, dim=-1)
