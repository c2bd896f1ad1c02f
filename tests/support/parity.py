"""Compares calls with diffusers, and reports the largest difference of all tests.

A `conftest.py` of parity tests imports the fixtures, and defines `build(kind, **components)`.
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
"""The largest difference of images in [0, 1] through float32 rounding over a few steps."""

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
    "LearnedClassifierFreeSamplingEmbeddings": "diffusers.pipelines.deprecated.vq_diffusion",
    "LDMBertModel": "diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion",
    "UnCLIPTextProjModel": "diffusers.pipelines.deprecated.unclip.text_proj",
    "PaellaVQModel": "diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model",
    "WuerstchenDiffNeXt": "diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext",
    "WuerstchenPrior": "diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior",
    "MultilingualCLIP": "diffusers.pipelines.kandinsky.text_encoder",
    "PaintByExampleImageEncoder": "diffusers.pipelines.deprecated.paint_by_example",
    "RobertaSeriesModelWithTransformation": "diffusers.pipelines.deprecated.alt_diffusion",
    "StableDiffusionSafetyChecker": "diffusers.pipelines.stable_diffusion.safety_checker",
    "StableUnCLIPImageNormalizer": "diffusers.pipelines.stable_diffusion",
}
"""The modules of networks that diffusers doesn't export at the top level."""

_largest: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _largest:
        terminalreporter.section("largest differences of images in [0, 1]")
        for name, value in sorted(_largest.items()):
            terminalreporter.write_line(f"{name:42} {value:.2e}")
        # The hook runs once for each conftest that imports it.
        _largest.clear()


@pytest.fixture(autouse=True)
def quiet_reference() -> Iterator[None]:
    diffusers = pytest.importorskip("diffusers")
    diffusers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def as_array(images: Any) -> np.ndarray:
    """Return images of any output type as an array; PIL images are scaled to [0, 1]."""
    if isinstance(images, torch.Tensor):
        return images.detach().numpy()
    if isinstance(images, np.ndarray):
        return images
    return np.stack([np.asarray(one, dtype=np.float32) / 255 for one in images])


def generators(seed: int | list[int] | None) -> Any:
    """Return a generator, a list of them, or None after seeding the global one."""
    if seed is None:
        torch.manual_seed(1)
        return None
    if isinstance(seed, list):
        return [torch.Generator().manual_seed(one) for one in seed]
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def scheduler() -> Callable[..., Any]:
    """`scheduler(name, **options)` returns one of ours with the betas of Stable Diffusion."""
    return lambda name, **options: getattr(autopipe, name)(**{**BETAS, **options})


@pytest.fixture(params=SCHEDULERS)
def any_scheduler(request: pytest.FixtureRequest, scheduler: Callable[..., Any]) -> Any:
    """Each scheduler in turn."""
    return scheduler(request.param)


@pytest.fixture
def record() -> Callable[..., float]:
    """`record(kind, ours, theirs)` returns the largest difference, and stores it for `kind`."""

    def difference(kind: str, ours: Any, theirs: Any) -> float:
        ours, theirs = as_array(ours), as_array(theirs)
        assert ours.shape == theirs.shape
        found = float(np.abs(ours - theirs).max())
        _largest[kind] = max(found, _largest.get(kind, 0.0))
        return found

    return difference


@pytest.fixture(scope="session")
def twin() -> Callable[[Any], Any]:
    """Function that returns the component of diffusers with our class name, config and weights.

    Components from transformers, which both libraries use, are returned unchanged.
    """
    import diffusers

    made: dict[int, tuple[Any, Any]] = {}

    def network(ours: Any) -> Any:
        name = type(ours).__name__
        cls = getattr(importlib.import_module(MODULES.get(name, "diffusers")), name)
        if not isinstance(ours, ModelMixin):
            return cls(ours.config)
        if hasattr(cls, "config_class"):  # Their class is built on transformers.
            return cls(cls.config_class.from_dict(ours.config.to_dict()))
        return cls.from_config({k: v for k, v in ours.config.items() if not k.startswith("_")})

    def component(ours: Any) -> Any:
        if ours is None or type(ours).__module__.startswith("transformers."):
            return ours
        if hasattr(ours, "to_transformers") and ours.twin is not None:
            return ours.to_transformers()
        if isinstance(ours, SchedulerMixin):
            return getattr(diffusers, type(ours).__name__).from_config(dict(ours.config))
        if id(ours) not in made:
            parts = [component(one) for one in getattr(ours, "parts", ())]
            theirs = getattr(diffusers, type(ours).__name__)(parts) if parts else network(ours)
            theirs.load_state_dict(ours.state_dict())
            made[id(ours)] = (ours, theirs.eval())
        return made[id(ours)][1]

    return component


@pytest.fixture
def reference(twin: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Function that returns the pipeline of diffusers with our classes, configs and weights."""
    import diffusers

    def pipeline(ours: Any) -> Any:
        components = {name: twin(one) for name, one in ours.components.items()}
        pipe = getattr(diffusers, type(ours).__name__)(**components, **ours.options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def saved_alike(tmp_path: Path) -> Callable[[Any, Any], None]:
    """`saved_alike(ours, theirs)` checks that both libraries save the same keys in every config.

    This also holds after each library has loaded and saved the checkpoint of the other.
    """

    def check(ours: Any, theirs: Any) -> None:
        folders = {}
        # Some classes of diffusers can't load what they saved without these.
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


# Where a checkpoint was loaded from, and the versions of the libraries that wrote it.
_NOT_SAVED = {"_name_or_path", "_diffusers_version", "transformers_version"}


def entries(folder: Path) -> dict[str, Any]:
    """Return the keys of every config in a checkpoint, and its whole index."""
    found: dict[str, Any] = {}
    for name in ("config.json", "scheduler_config.json", "model_index.json"):
        for file in folder.rglob(name):
            content = json.loads(file.read_text(encoding="utf-8"))
            kept = {key: value for key, value in content.items() if key not in _NOT_SAVED}
            # diffusers names the class of the installed backend, we use the common name.
            for key, value in kept.items():
                if isinstance(value, list) and str(value[-1]).endswith("ImageProcessorPil"):
                    kept[key] = [value[0], value[1].removesuffix("Pil")]
            is_index = file.parent == folder
            found[file.relative_to(folder).as_posix()] = kept if is_index else sorted(kept)
    return found


@pytest.fixture
def compare(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Function that makes one call in both libraries, compares the results, and returns ours.

    `seed` is the seed of the generator, or a list of seeds for a list of generators. `components`
    are passed to `build`, and `prompt` to pipelines that take one.
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
