"""Adapters against the reference, at the names and shapes of published ones and at random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import MultiAdapter, T2IAdapter

from ..conftest import LIGHT, XL_ADAPTER

pytestmark = pytest.mark.parity

# The same sums in another order; largest difference over largest value.
TOLERANCE = 1e-5

# The configs of what is published: for Stable Diffusion (colour and grey), SDXL, and light ones.
PUBLISHED: dict[str, dict[str, Any]] = {
    "full": {"in_channels": 3},
    "grey": {"in_channels": 1},
    "xl": {
        "in_channels": 3,
        "channels": [320, 640, 1280, 1280],
        "downscale_factor": 16,
        "adapter_type": "full_adapter_xl",
    },
    "light": {
        "channels": [320, 640, 1280],
        "num_res_blocks": 4,
        "adapter_type": "light_adapter",
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_state_dicts(name: str) -> None:
    import diffusers

    with torch.device("meta"):
        ours = T2IAdapter(**PUBLISHED[name])
        theirs = diffusers.T2IAdapter(**PUBLISHED[name])
    expected = {key: one.shape for key, one in theirs.state_dict().items()}
    assert {key: one.shape for key, one in ours.state_dict().items()} == expected
    assert ours.downscale_factor == theirs.downscale_factor
    assert ours.total_downscale_factor == theirs.total_downscale_factor


def test_configs() -> None:
    """Every key of the config, with its default."""
    import diffusers

    with torch.device("meta"):
        theirs = diffusers.T2IAdapter().config
    ours = {k: p.default for k, p in T2IAdapter.init_parameters().items()}
    assert {**ours, "channels": list(ours["channels"])} == {k: theirs[k] for k in ours}
    assert set(ours) == {name for name in theirs if not name.startswith("_")}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"in_channels": 1, "num_res_blocks": 3},
        {"downscale_factor": 4, "channels": (8, 8)},
        XL_ADAPTER,
        LIGHT,
    ],
    ids=str,
)
@torch.no_grad()
def test_features(
    nets: Any, twin: Any, record: Callable[..., float], changes: dict[str, Any]
) -> None:
    ours = nets(**changes)
    # Not square, and odd after halving, which is rounded up.
    x = torch.rand(2, ours.config.in_channels, 24, 12, generator=torch.Generator().manual_seed(1))
    found, expected = ours(x), twin(ours)(x)
    assert [one.shape[1] for one in found] == ours.widths
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert other.std() > 1e-4
        scale = other.abs().max()
        assert record("T2IAdapter (relative)", one / scale, other / scale) < TOLERANCE


@pytest.mark.parametrize("weights", [None, [0.5, 1.5], [0.0, 1.0]])
@torch.no_grad()
def test_several(
    nets: Any, twin: Any, record: Callable[..., float], weights: list[float] | None
) -> None:
    ours = MultiAdapter([nets(seed=2), nets(seed=3)])
    source = torch.Generator().manual_seed(4)
    xs = [torch.rand(1, 3, 16, 16, generator=source) for _ in range(2)]
    for one, other in zip(ours(xs, weights), twin(ours)(xs, weights)):
        assert record("MultiAdapter", one, other) < TOLERANCE


def test_folders_of_several(nets: Any, tmp_path: Path) -> None:
    import diffusers

    ours = MultiAdapter([nets(seed=n) for n in (2, 3, 4)])
    ours.save_pretrained(tmp_path / "adapter")
    theirs = diffusers.MultiAdapter.from_pretrained(str(tmp_path / "adapter"))
    state = ours.state_dict()
    assert state.keys() == theirs.state_dict().keys()
    assert all(torch.equal(state[name], one) for name, one in theirs.state_dict().items())


@pytest.mark.parametrize("count", [2, 3, 4])
def test_folders_of_the_reference(nets: Any, twin: Any, tmp_path: Path, count: int) -> None:
    """It writes `adapter_1_2` for the third, which it doesn't read itself."""
    ours = MultiAdapter([nets(seed=n) for n in range(count)])
    twin(ours).save_pretrained(str(tmp_path / "adapter"))
    back = MultiAdapter.from_pretrained(tmp_path / "adapter")
    state = ours.state_dict()
    assert state.keys() == back.state_dict().keys()
    assert all(torch.equal(state[name], one) for name, one in back.state_dict().items())
