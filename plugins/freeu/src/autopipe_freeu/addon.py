"""FreeU as an add-on.

It changes what the first two up blocks of a U-Net get: half of the backbone's features are
strengthened, and the lowest frequencies of the skip connections weakened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.network_view import Answer
from autopipe.errors import ArgumentError
from autopipe.pipeline.values import number
from autopipe.values import is_number

from .factors import Factors, changes, why_not


class FreeU(Attachment):
    """Scales features in the first two up blocks of every U-Net of a pipeline.

    Its strength is a number, 0 for no change and 1 for these factors, or other factors: a dict, or
    four numbers in the order s1, s2, b1, b2. So pipelines that share the U-Net, and calls, have
    factors of their own.

    Args:
        s1, s2: factors of the skip connections' lowest frequencies in the first and second block.
        b1, b2: factors of half of the backbone's features there.

    Raises:
        ArgumentError, ArgumentTypeError: if a factor is not a number above 0.
    """

    name = "freeu"

    def __init__(self, s1: float = 0.9, s2: float = 0.2, b1: float = 1.3, b2: float = 1.4) -> None:
        self.factors = Factors(s1, s2, b1, b2)

    def check(self, pipe: Any) -> None:
        """Check that the pipeline has a U-Net whose up blocks FreeU can change.

        Raises:
            ArgumentError: if not.
        """
        found = [one for one in pipe.components.values() if isinstance(one, nn.Module)]
        reasons = [why_not(one) for one in found]
        if None not in reasons:
            reason = reasons[-1] if reasons else "there is none"
            raise ArgumentError(
                f"FreeU needs a U-Net with up blocks of latent diffusion; in this "
                f"{type(pipe).__name__} {reason}"
            )

    def check_strength(self, value: Any) -> Any:
        """Return the factors of a strength, or 0.

        Raises:
            ArgumentError, ArgumentTypeError: if it is neither a number nor four factors above 0.
        """
        if isinstance(value, Factors):
            return value
        if not is_number(value):
            return Factors.of(value)
        strength = number("the strength of FreeU", value)
        return self.factors.towards(strength) if strength else 0

    def answers(self, component: str, network: nn.Module, strength: Any) -> Mapping[str, Answer]:
        """Return the replacements of residual blocks of a U-Net."""
        return {} if why_not(network) else dict(changes(network, strength))  # type: ignore[arg-type]
