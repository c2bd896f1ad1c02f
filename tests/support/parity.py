"""Runs one call on diffusers and on us, and keeps the largest difference that any test saw.

A `conftest.py` of parity tests imports the fixtures, and offers `build(kind, **components)`.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe.modeling import ModelMixin
from autopipe.scheduling import SchedulerMixin

from .tiny import BETAS

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

MODULES = {
    "IFSafetyChecker": "diffusers.pipelines.deepfloyd_if",
    "IFWatermarker": "diffusers.pipelines.deepfloyd_if",
    "MultilingualCLIP": "diffusers.pipelines.kandinsky.text_encoder",
    "StableDiffusionSafetyChecker": "diffusers.pipelines.stable_diffusion.safety_checker",
}
"""Where diffusers has the networks that are not among its own names."""

_largest: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _largest:
        terminalreporter.section("largest differences of images in [0, 1]")
        for name, value in sorted(_largest.items()):
            terminalreporter.write_line(f"{name:42} {value:.2e}")
        # Each conftest that has this hook runs it.
        _largest.clear()


@pytest.fixture(autouse=True)
def quiet_reference() -> Iterator[None]:
    diffusers = pytest.importorskip("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def as_array(images: Any) -> np.ndarray:
    """Images of any kind of output as an array; PIL images in [0, 1]."""
    if isinstance(images, torch.Tensor):
        return images.detach().numpy()
    if isinstance(images, np.ndarray):
        return images
    return np.stack([np.asarray(one, dtype=np.float32) / 255 for one in images])


def generators(seed: int | list[int] | None) -> Any:
    """A generator, a list of them, or None with the global one seeded."""
    if seed is None:
        torch.manual_seed(1)
        return None
    if isinstance(seed, list):
        return [torch.Generator().manual_seed(one) for one in seed]
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def scheduler() -> Callable[..., Any]:
    """`scheduler(name, **options)`: one of ours, with the betas of Stable Diffusion."""
    return lambda name, **options: getattr(autopipe, name)(**{**BETAS, **options})


@pytest.fixture(params=SCHEDULERS)
def any_scheduler(request: pytest.FixtureRequest, scheduler: Callable[..., Any]) -> Any:
    """Each scheduler in turn."""
    return scheduler(request.param)


@pytest.fixture
def record() -> Callable[..., float]:
    """`record(kind, ours, theirs)`: the largest difference, kept under the name of `kind`."""

    def difference(kind: str, ours: Any, theirs: Any) -> float:
        ours, theirs = as_array(ours), as_array(theirs)
        assert ours.shape == theirs.shape
        found = float(np.abs(ours - theirs).max())
        _largest[kind] = max(found, _largest.get(kind, 0.0))
        return found

    return difference


@pytest.fixture(scope="session")
def twin() -> Callable[[Any], Any]:
    """The component of diffusers with the class, config and weights of one of ours.

    What both libraries take from transformers is returned as it is.
    """
    import diffusers

    made: dict[int, tuple[Any, Any]] = {}

    def network(ours: Any) -> Any:
        name = type(ours).__name__
        cls = getattr(importlib.import_module(MODULES.get(name, "diffusers")), name)
        if not isinstance(ours, ModelMixin):
            return cls(ours.config)
        return cls.from_config({k: v for k, v in ours.config.items() if not k.startswith("_")})

    def component(ours: Any) -> Any:
        if ours is None or type(ours).__module__.startswith("transformers."):
            return ours
        if isinstance(ours, SchedulerMixin):
            return getattr(diffusers, type(ours).__name__).from_config(dict(ours.config))
        if id(ours) not in made:
            theirs = network(ours)
            theirs.load_state_dict(ours.state_dict())
            made[id(ours)] = (ours, theirs.eval())
        return made[id(ours)][1]

    return component


@pytest.fixture
def reference(twin: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The pipeline of diffusers with the classes, configs and weights of one of ours."""
    import diffusers

    def pipeline(ours: Any) -> Any:
        components = {name: twin(one) for name, one in ours.components.items()}
        pipe = getattr(diffusers, type(ours).__name__)(**components, **ours.options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def saved_alike(tmp_path: Path) -> Callable[[Any, Any], None]:
    """`saved_alike(ours, theirs)`: both libraries save twins with the same keys in every config.

    So they do with what each makes of the checkpoint of the other.
    """

    def check(ours: Any, theirs: Any) -> None:
        folders = {}
        # Some classes of the reference can't open what they saved without these.
        absent = {name: None for name, one in ours.components.items() if one is None}
        for name, pipe in {"ours": ours, "theirs": theirs}.items():
            pipe.save_pretrained(tmp_path / name)
            folders[name] = entries(tmp_path / name)
            other = type(ours if name == "theirs" else theirs)
            again = other.from_pretrained(tmp_path / name, **absent)
            again.save_pretrained(tmp_path / f"{name} again")
            folders[f"{name} again"] = entries(tmp_path / f"{name} again")
        for name in ("ours", "theirs again", "ours again"):
            differences = [
                f"{name}: {file}: {found} for {expected}"
                for file, expected in folders["theirs"].items()
                if (found := folders[name].get(file)) != expected
            ]
            assert not differences, "\n".join(differences)
            assert folders[name].keys() == folders["theirs"].keys()

    return check


# What the reference writes of where a checkpoint was, and of the release that wrote it.
_NOT_SAVED = {"_name_or_path", "_diffusers_version", "transformers_version"}


def entries(folder: Path) -> dict[str, Any]:
    """The keys of every config in a checkpoint, and all of its index."""
    found: dict[str, Any] = {}
    for name in ("config.json", "scheduler_config.json", "model_index.json"):
        for file in folder.rglob(name):
            content = json.loads(file.read_text(encoding="utf-8"))
            kept = {key: value for key, value in content.items() if key not in _NOT_SAVED}
            # The reference names the class by the backend that is installed, we by what all know.
            for key, value in kept.items():
                if value == ["transformers", "CLIPImageProcessorPil"]:
                    kept[key] = ["transformers", "CLIPImageProcessor"]
            is_index = file.parent == folder
            found[file.relative_to(folder).as_posix()] = kept if is_index else sorted(kept)
    return found


@pytest.fixture
def compare(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Makes one call on both libraries and compares what they return.

    `seed` is that of the generator, or a list for a list of them; `components` go to `build`.
    `prompt` goes to pipelines that take one. Returns the images of ours.
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
        call = {"num_inference_steps": 3, "output_type": "np", **call}
        if "prompt" in inspect.signature(kind.__call__).parameters:
            call["prompt"] = prompt
        ours = build(kind, **(components or {}))
        theirs = reference(ours)
        found = ours(generator=generators(seed), **copy.deepcopy(call))
        expected = theirs(generator=generators(seed), **copy.deepcopy(call))
        assert type(found.images) is type(expected.images)
        assert list(found) == list(expected)
        assert [found[k] for k in found if k != "images"] == [
            expected[k] for k in expected if k != "images"
        ]
        name = f"{kind.__name__}, {call['output_type']}"
        assert record(name, found.images, expected.images) <= tolerance
        return as_array(found.images)

    return run
