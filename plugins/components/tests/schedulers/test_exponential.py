"""The exponential integrator: its integrals, its weights, and the linear part of a step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from autopipe_components.schedulers.exponential import NoiseLevel, Span, moments, weights


def level(sigma: float) -> NoiseLevel:
    """The variance-preserving pair of a noise level."""
    alpha = 1 / math.sqrt(sigma**2 + 1)
    return NoiseLevel(np.float64(alpha), np.float64(sigma * alpha))


@pytest.mark.parametrize("z", [-3.0, -0.4, 0.05, 0.7, 2.5])
def test_moments_are_the_integrals_they_say(z: float) -> None:
    for j, found in enumerate(moments(z, 4)):
        integral, _ = quad(lambda u, j=j: z * math.exp((1 - u) * z) * u**j, 0, 1)
        # The recursion divides rounding errors by z, at most three times.
        assert found == pytest.approx(integral, abs=1e-11)


def test_moments_at_the_ends() -> None:
    assert moments(0.0, 3) == [0.0, 0.0, 0.0]
    assert moments(-math.inf, 1) == [-1.0]


@given(
    z=st.floats(-3, 3).filter(lambda z: abs(z) > 0.1),
    coefficients=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
)
def test_weights_integrate_a_polynomial_exactly(z: float, coefficients: list[float]) -> None:
    nodes = [0.0, -0.8, -2.1]
    values = np.polynomial.polynomial.polyval(nodes, coefficients)
    exact = sum(c * m for c, m in zip(coefficients, moments(z, 3)))
    assert np.dot(weights(nodes, moments(z, 3)), values) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("tau", [0, 0.6, 1])
def test_two_spans_make_one_where_the_model_is_constant(clean: bool, tau: float) -> None:
    a, b, c = level(5.0), level(1.3), level(0.4)
    ends = ((a, b), (b, c), (a, c))
    first, second, whole = (Span.between(*pair, clean=clean, tau=tau) for pair in ends)

    def gain(span: Span) -> float:
        return -span.scale * moments(span.z, 1)[0]

    assert second.decay * first.decay == pytest.approx(whole.decay)
    assert second.decay * gain(first) + gain(second) == pytest.approx(gain(whole))
    added = (second.decay * first.spread) ** 2 + second.spread**2
    assert added == pytest.approx(whole.spread**2)


# The SDE with a noise prediction that never changes isn't the process that made the noise.
@pytest.mark.parametrize(("clean", "tau"), [(True, 1), (True, 0.6), (True, 0), (False, 0)])
def test_a_span_leads_from_one_level_to_the_other(clean: bool, tau: float) -> None:
    s, t = level(4.0), level(0.9)
    span = Span.between(s, t, clean=clean, tau=tau)
    gain = -span.scale * moments(span.z, 1)[0]
    if clean:  # x = α x0 + σ noise, of which the noise decays and x0 is known
        assert span.decay * s.alpha + gain == pytest.approx(t.alpha)
        left = span.decay * s.sigma
    else:  # ... of which x0 decays and the noise is known
        assert span.decay * s.alpha == pytest.approx(t.alpha)
        left = span.decay * s.sigma + gain
    assert math.hypot(left, span.spread) == pytest.approx(t.sigma)
