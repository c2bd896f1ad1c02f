"""Checks of loading and saving."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import torch

from autopipe.errors import AutopipeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of

from ..subject import Subject, quiet

INDEX = DiffusionPipeline.config_name or ""


def saves(subject: Subject) -> None:
    """What is saved and loaded again has the same index, configs and tensors, bit for bit."""
    first = subject.load()
    folder = subject.scratch / "saved"
    first.save_pretrained(folder)
    second = _load(subject, folder)
    assert type(second) is type(first)
    assert second.index() == first.index()
    assert json.loads((folder / INDEX).read_text(encoding="utf-8")) == first.index()
    networks, again = networks_of(first.components), networks_of(second.components)
    assert networks.keys() == again.keys()
    for name, network in networks.items():
        expected, found = network.state_dict(), again[name].state_dict()
        assert expected.keys() == found.keys(), name
        for key, tensor in expected.items():
            assert found[key].dtype == tensor.dtype, f"{name}: {key}"
            assert torch.equal(found[key], tensor), f"{name}: {key}"
        assert not again[name].training, f"{name} must be in evaluation mode"
    for name, component in first.components.items():
        config: Any = getattr(component, "config", None)
        if isinstance(config, dict):
            place = {"_name_or_path": None}  # where each was loaded from
            assert {**second.components[name].config, **place} == {**config, **place}, name


def optional(subject: Subject) -> None:
    """Without any one of its optional components a pipeline loads and saves.

    It can be called, or says by a typed error what it can't do so.
    """
    for name in subject.cls.optional_components():
        pipe = subject.load(**{name: None})
        assert pipe.components[name] is None
        folder = subject.scratch / f"without-{name}"
        pipe.save_pretrained(folder)
        saved = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        assert saved[name] == [None, None]
        assert _load(subject, folder).components[name] is None
        if subject.can_be_called:
            with contextlib.suppress(AutopipeError):
                subject.output(pipe)


def _load(subject: Subject, folder: Path) -> Any:
    with quiet():
        return subject.cls.from_pretrained(folder)
