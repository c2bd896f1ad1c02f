"""Checks of add-ons: each method of an attachment has an effect, which ends when detached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autopipe.attaching.attachment import Attachment

from ..subject import Subject


class _Idle(Attachment):
    """Wraps all that an add-on can, without changing anything."""

    def encode(self, run: Any, component: str, encode: Any, strength: float) -> Any:
        return lambda *texts, **options: encode(*texts, **options)

    def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
        return lambda step, timestep: predict(step, timestep)

    def after_step(self, run: Any, strength: float) -> Any:
        return lambda step, timestep, latents: latents


class _Weaker(Attachment):
    def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
        return lambda step, timestep: predict(step, timestep) * 0.5


class _Shifting(Attachment):
    def after_step(self, run: Any, strength: float) -> Any:
        return lambda step, timestep, latents: (
            # Whole numbers, such as indices, may have a range of their own.
            latents + 0.5 if latents.is_floating_point() else latents.flip(-1)
        )


class _Other(Attachment):
    """Encodes another text than the given one."""

    def encode(self, run: Any, component: str, encode: Any, strength: float) -> Any:
        return lambda texts, *rest, **options: encode(
            ["something else"] * len(texts), *rest, **options
        )


def attachments(subject: Subject) -> None:
    """Add-ons can change the prediction, the latents after a step, and the texts to encode."""
    pipe = subject.load()
    plain = subject.result(pipe)

    def with_one(make: Callable[[], Attachment]) -> np.ndarray:
        pipe.attach(make(), name="checked")
        try:
            return subject.result(pipe)
        finally:
            pipe.detach("checked")

    assert np.array_equal(with_one(_Idle), plain), "an add-on that changes nothing changes it"
    assert not np.array_equal(with_one(_Weaker), plain), (
        "the prediction is not taken by autopipe.pipeline.loop.denoise, so add-ons can't reach it"
    )
    assert not np.array_equal(with_one(_Shifting), plain), "add-ons don't reach the latents"
    if any(one.kind == "text" for one in subject.task.inputs):
        assert not np.array_equal(with_one(_Other), plain), (
            "texts are not encoded through self.encoder(component, encode), so add-ons can't "
            "reach them"
        )
    assert np.array_equal(subject.result(pipe), plain), "an add-on leaves something behind"
