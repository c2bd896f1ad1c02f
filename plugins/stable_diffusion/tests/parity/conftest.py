"""Runs one call on both libraries, and keeps the largest difference that any test saw."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import autopipe

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over a few steps."""

SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)

_largest: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _largest:
        terminalreporter.section("largest differences of images in [0, 1]")
        for name, value in sorted(_largest.items()):
            terminalreporter.write_line(f"{name:42} {value:.2e}")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    diffusers = pytest.importorskip("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _as_array(images: Any) -> np.ndarray:
    if isinstance(images, torch.Tensor):
        return images.detach().numpy()
    if isinstance(images, np.ndarray):
        return images
    return np.stack([np.asarray(one, dtype=np.float32) / 255 for one in images])


@pytest.fixture
def scheduler() -> Callable[..., Any]:
    """`scheduler(name, **options)`: one of ours, with the betas of Stable Diffusion."""
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return lambda name, **options: getattr(autopipe, name)(**betas, **options)


@pytest.fixture(params=SCHEDULERS)
def any_scheduler(request: pytest.FixtureRequest, scheduler: Callable[..., Any]) -> Any:
    """Each scheduler in turn."""
    return scheduler(request.param)


@pytest.fixture
def record() -> Callable[..., float]:
    """`record(kind, ours, theirs)`: the largest difference, kept under the name of `kind`."""

    def difference(kind: str, ours: Any, theirs: Any) -> float:
        ours, theirs = _as_array(ours), _as_array(theirs)
        assert ours.shape == theirs.shape
        found = float(np.abs(ours - theirs).max())
        _largest[kind] = max(found, _largest.get(kind, 0.0))
        return found

    return difference


@pytest.fixture(scope="session")
def twin() -> Callable[[Any], Any]:
    """The network of diffusers with the class, config and weights of one of ours."""
    import diffusers
    from diffusers.pipelines.stable_diffusion import safety_checker

    made: dict[int, tuple[Any, Any]] = {}

    def network(ours: Any) -> Any:
        if ours is None:
            return None
        if id(ours) not in made:
            name = type(ours).__name__
            if name == "StableDiffusionSafetyChecker":
                theirs = safety_checker.StableDiffusionSafetyChecker(ours.config)
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
        shared = ("text_encoder", "tokenizer", "feature_extractor", "image_encoder")
        networks = ("vae", "unet", "safety_checker")
        scheduler = getattr(diffusers, type(ours.scheduler).__name__)
        pipe = getattr(diffusers, type(ours).__name__)(
            scheduler=scheduler.from_config(dict(ours.scheduler.config)),
            requires_safety_checker=False,
            **{name: getattr(ours, name) for name in shared},
            **{name: twin(getattr(ours, name)) for name in networks},
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def compare(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Makes one call on both libraries and compares images and flags.

    `seed` is that of the generator, or a list for a list of them; `components` go to `build`.
    Returns the images of ours.
    """

    def run(
        kind: type,
        prompt: Any = "a cat",
        *,
        seed: int | list[int] | None = 0,
        components: dict[str, Any] | None = None,
        tolerance: float = TOLERANCE,
        **call: Any,
    ) -> Any:
        def generators() -> Any:
            if seed is None:
                torch.manual_seed(1)
                return None
            if isinstance(seed, list):
                return [torch.Generator().manual_seed(one) for one in seed]
            return torch.Generator().manual_seed(seed)

        call = {"num_inference_steps": 3, "output_type": "np", **call}
        ours = build(kind, **(components or {}))
        theirs = reference(ours)
        found = ours(prompt, generator=generators(), **copy.deepcopy(call))
        expected = theirs(prompt, generator=generators(), **copy.deepcopy(call))
        assert type(found.images) is type(expected.images)
        assert found.nsfw_content_detected == expected.nsfw_content_detected
        assert record(kind.__name__, found.images, expected.images) <= tolerance
        return _as_array(found.images)

    return run
