"""Tries which optional features a pipeline supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.errors import AutopipeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of
from autopipe.wording import error_summary

from .. import given
from ..samples import batched, generators
from ..subject import Subject

LIKE = 1e-3
"""Different kernels and summation orders change values in [0, 1] by less than this in float32."""

Try = Callable[[Subject, DiffusionPipeline], Any]
"""Makes a call that needs an ability, and returns its result.

If it returns a string, that says why the ability can't be tried; it follows "no: ".
"""


class _Nothing(Attachment):
    """Wraps the prediction without changing it."""

    def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
        return lambda step, timestep: predict(step, timestep)


class _Eager(NetworkEngine):
    """An engine that runs networks in eager mode."""

    name = "eager"

    def prepare(self, network: nn.Module, method: str) -> Any:
        return getattr(network, method)


def abilities(subject: Subject) -> None:
    """Optional features work, or are refused by one of `autopipe.errors`; the report lists both."""
    faults = {}
    for name, attempt in ABILITIES.items():
        pipe = subject.load()
        plain = subject.result(pipe)
        try:
            subject.notes.abilities[name] = _told(attempt(subject, pipe), plain)
        except AutopipeError as error:
            subject.notes.abilities[name] = f"no: {error_summary(error)}"
        except Exception as error:
            subject.notes.abilities[name] = f"no: it fails with {error_summary(error)}"
            faults[name] = f"{name} fails in {subject.task}: {error_summary(error)}"
    subject.judge(faults)


def _told(made: Any, plain: np.ndarray) -> str:
    if isinstance(made, str):
        return f"no: {made}"
    for one in np.split(made, len(made) // len(plain)) if len(made) > len(plain) else [made]:
        assert one.shape == plain.shape, f"the result is of shape {one.shape}, not {plain.shape}"
        assert np.isfinite(one).all(), "the result has values that aren't finite"
    first = made[: len(plain)]
    apart = float(np.abs(first - plain).max())
    assert apart <= LIKE, f"the result is up to {apart:.2g} away from that of a plain call"
    return "yes"


def _batch(subject: Subject, pipe: DiffusionPipeline) -> Any:
    names = batched(subject.task)
    if not names or "generator" not in subject.task.parameters:
        return "calls take no lists"
    arguments = subject.arguments()
    lists = {name: [arguments[name]] * 2 for name in names}
    return subject.result(pipe, 0, **lists, generator=generators(0, 0))


def _several(subject: Subject, pipe: DiffusionPipeline) -> Any:
    if subject.task.repeats is None or "generator" not in subject.task.parameters:
        return "the task has no such argument"
    return subject.result(pipe, 0, **{subject.task.repeats: 2}, generator=generators(0, 0))


def _embeds(subject: Subject, pipe: DiffusionPipeline) -> Any:
    if "prompt_embeds" not in subject.taken:
        return "calls take no prompt_embeds"
    if not hasattr(pipe, "encode_prompt"):
        return "the class has no encode_prompt that gives them"
    embeds = given.embeds(subject, pipe)
    return subject.result(pipe, **embeds) if embeds else "encode_prompt gives none of this prompt"


def _vae(word: str) -> Try:
    def attempt(subject: Subject, pipe: DiffusionPipeline) -> Any:
        enable = getattr(pipe, f"enable_vae_{word}", None)
        if enable is None:
            return f"the class has no enable_vae_{word}"
        enable()
        return subject.result(pipe)

    return attempt


def _channels_last(subject: Subject, pipe: DiffusionPipeline) -> Any:
    networks = networks_of(pipe.components).values()
    images = [p for network in networks for p in network.parameters() if p.ndim == 4]
    if not images:
        return "no network has weights of four axes"
    for parameter in images:
        parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return subject.result(pipe)


def _add_ons(subject: Subject, pipe: DiffusionPipeline) -> Any:
    pipe.attach(_Nothing(), name="nothing")
    return subject.result(pipe)


def _engines(subject: Subject, pipe: DiffusionPipeline) -> Any:
    pipe.use_engine(_Eager())
    return subject.result(pipe)


def _offload(subject: Subject, pipe: DiffusionPipeline) -> Any:
    pipe.enable_model_cpu_offload(device="cpu")
    return subject.result(pipe)


def _in_parts(subject: Subject, pipe: DiffusionPipeline) -> Any:
    pipe.enable_sequential_cpu_offload(device="cpu")
    return subject.result(pipe)


def _callbacks(subject: Subject, pipe: DiffusionPipeline) -> Any:
    if "callback_on_step_end" not in subject.taken:
        return "calls take no callback_on_step_end"
    return subject.result(pipe, callback_on_step_end=lambda *step: {})


def _safetensors(subject: Subject, pipe: DiffusionPipeline) -> Any:
    folder = subject.scratch / "safetensors"
    pipe.save_pretrained(folder, safe_serialization=True)
    if networks_of(pipe.components) and not list(folder.rglob("*.safetensors")):
        return "nothing is saved so"
    again = subject.cls.from_pretrained(folder)
    again.set_progress_bar_config(disable=True)
    return subject.result(again)


ABILITIES: dict[str, Try] = {
    "batch": _batch,
    "several per input": _several,
    "prompt embeddings": _embeds,
    "step callbacks": _callbacks,
    "tiling of the autoencoder": _vae("tiling"),
    "slicing of the autoencoder": _vae("slicing"),
    "channels_last": _channels_last,
    "add-ons": _add_ons,
    "engines": _engines,
    "model offload": _offload,
    "sequential offload": _in_parts,
    "safetensors": _safetensors,
}
"""The abilities that are tried, in the order of the report; other checks add more."""
