"""The prior against diffusers, seed for seed, with every parameter of a call."""

from __future__ import annotations

import pytest
from support.chains import PriorParity

from autopipe import KandinskyPriorPipeline

pytestmark = pytest.mark.parity


class TestPrior(PriorParity):
    pipe = KandinskyPriorPipeline
