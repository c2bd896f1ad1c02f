"""Runs one call on both libraries, and keeps the largest difference that any test saw."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support.parity import saved_alike  # noqa: F401

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over a few steps."""

_largest: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _largest:
        terminalreporter.section("largest differences with a T2I-Adapter")
        for name, value in sorted(_largest.items()):
            terminalreporter.write_line(f"{name:42} {value:.2e}")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    diffusers = pytest.importorskip("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def record() -> Callable[[str, Any, Any], float]:
    """`record(name, ours, theirs)`: the largest difference, kept under `name`."""

    def difference(name: str, ours: Any, theirs: Any) -> float:
        ours, theirs = (torch.as_tensor(np.asarray(one)) for one in (ours, theirs))
        assert ours.shape == theirs.shape
        found = float((ours.double() - theirs.double()).abs().max())
        _largest[name] = max(found, _largest.get(name, 0.0))
        return found

    return difference


@pytest.fixture(scope="session")
def twin() -> Callable[[Any], Any]:
    """The network of diffusers with the class, config and weights of one of ours."""
    import diffusers

    made: dict[int, tuple[Any, Any]] = {}

    def network(ours: Any) -> Any:
        if id(ours) not in made:
            name = type(ours).__name__
            if name == "MultiAdapter":
                theirs = diffusers.MultiAdapter([network(one) for one in ours.parts])
            else:
                config = {k: v for k, v in ours.config.items() if not k.startswith("_")}
                theirs = getattr(diffusers, name).from_config(config)
                theirs.load_state_dict(ours.state_dict())
            made[id(ours)] = (ours, theirs.eval())
        return made[id(ours)][1]

    return network


@pytest.fixture
def reference(twin: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The pipeline of diffusers with the classes, configs and weights of one of ours."""
    import diffusers

    def pipeline(ours: Any) -> Any:
        networks = {n: twin(getattr(ours, n)) for n in ("vae", "unet", "adapter")}
        absent = {n: None for n in ours.module_names() if getattr(ours, n) is None}
        scheduler = getattr(diffusers, type(ours.scheduler).__name__)
        options = {n: v for n, v in ours.options.items() if n != "add_watermarker"}
        kind = getattr(diffusers, type(ours).__name__)
        pipe = kind(
            scheduler=scheduler.from_config(dict(ours.scheduler.config)),
            **networks,
            **absent,
            **options,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def compare(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    prompt: Callable[..., dict[str, Any]],
) -> Callable[..., Any]:
    """Makes one call on both libraries and compares the images; returns those of ours.

    `seed` is that of the generator, or a list for a list of them; `components` go to `build`;
    `prompts` is how many there are.
    """

    def run(
        kind: type,
        *,
        seed: int | list[int] = 0,
        prompts: int = 1,
        components: dict[str, Any] | None = None,
        tolerance: float = TOLERANCE,
        **call: Any,
    ) -> np.ndarray:
        def generators() -> Any:
            if isinstance(seed, list):
                return [torch.Generator().manual_seed(one) for one in seed]
            return torch.Generator().manual_seed(seed)

        call = {"num_inference_steps": 3, "output_type": "np", **prompt(kind, prompts), **call}
        ours = build(kind, **(components or {}))
        theirs = reference(ours)
        found = ours(generator=generators(), **copy.deepcopy(call)).images
        expected = theirs(generator=generators(), **copy.deepcopy(call)).images
        if call["output_type"] == "pil":
            found, expected = (
                np.stack([np.asarray(i) / 255 for i in x]) for x in (found, expected)
            )
        assert record(kind.__name__, found, expected) <= tolerance
        return np.asarray(found)

    return run
