"""Checks of loading and saving."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autopipe.errors import AutopipeError, QuantizedWeightsError
from autopipe.manifest import Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of
from autopipe.resolution.targets import load_target
from autopipe.scheduling import SchedulerMixin

from ..subject import Subject, quiet
from ..traces import changes, dtypes
from ..verdict import sentence_of
from .calls import BATCHED

INDEX = DiffusionPipeline.config_name or ""


def saves(subject: Subject) -> None:
    """A saved pipeline, loaded again, has the same index, configs and tensors, bit for bit.

    If the config of a network says that its weights are quantized, loading refuses it.
    """
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
            place = {"_name_or_path": None}  # the place it was loaded from
            assert {**second.components[name].config, **place} == {**config, **place}, name
    for name in networks:
        _refuses_quantized(subject, folder, name)


def optional(subject: Subject) -> None:
    """A pipeline loads and saves without each one of its optional components.

    It can be called, or one of `autopipe.errors` says why not.
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


def keeps(subject: Subject) -> None:
    """Options, configs, dtypes, tokenizers and results are kept, even if they are unusual.

    This holds for saving and loading, `from_pipe`, and switching to each task and back.
    """
    pipe = unusual(subject)
    expected = _facts(pipe)
    folder = subject.scratch / "kept"
    pipe.save_pretrained(folder)
    ways = {
        "saving and loading": lambda: _load(subject, folder, torch_dtype="auto"),
        "from_pipe": lambda: subject.cls.from_pipe(pipe),
        **{f"going to {t} and back": _there_and_back(pipe, p) for t, p in subject.row},
    }
    plain = subject.result(pipe) if subject.can_be_called else None
    for way, go in ways.items():
        with quiet():
            found = go()
        lost = changes(expected, _facts(found))
        assert not lost, "\n".join(f"{way} doesn't keep {name}" for name in lost)
        if plain is not None:
            found.set_progress_bar_config(disable=True)
            apart = float(np.abs(subject.result(found) - plain).max())
            assert apart <= BATCHED, f"after {way} a call draws something else, {apart:.2g} away"
    _keeps_dtypes(subject)


def _there_and_back(pipe: DiffusionPipeline, there: Pipeline) -> Callable[[], Any]:
    cls: Any = load_target(there.target)
    return lambda: type(pipe).from_pipe(cls.from_pipe(pipe))


def _keeps_dtypes(subject: Subject) -> None:
    """Check that saving keeps dtypes: bfloat16, and float32 in the last of several networks."""
    pipe = subject.load(torch_dtype=torch.bfloat16)
    for network in list(networks_of(pipe.components).values())[1:][-1:]:
        network.float()
    folder = subject.scratch / "dtypes"
    pipe.save_pretrained(folder)
    lost = changes(dtypes(pipe), dtypes(_load(subject, folder, torch_dtype="auto")))
    assert not lost, "\n".join(f"saving and loading doesn't keep {name}" for name in lost)


def unusual(subject: Subject) -> DiffusionPipeline:
    """Return the pipeline with options and scheduler settings that differ from the defaults."""
    pipe = subject.load()
    for name, value in pipe.options.items():
        try:
            assert isinstance(value, bool), "no other value of it is known"
            with quiet():
                other = subject.cls.from_pipe(pipe, **{name: not value})
            if subject.can_be_called:
                subject.output(other)
            pipe = other
        except (AssertionError, AutopipeError) as error:
            subject.notes.unchecked.append(f"the option {name}: {sentence_of(error)}")
    changed: dict[str, Any] = {}
    for name, component in pipe.components.items():
        steps = getattr(getattr(component, "config", None), "num_train_timesteps", 0)
        if isinstance(component, SchedulerMixin) and isinstance(steps, int) and steps > 1:
            changed[name] = type(component).from_config(
                component.config, num_train_timesteps=steps - steps // 10 - 1
            )
    with quiet():
        made: DiffusionPipeline = subject.cls.from_pipe(pipe, **changed)
    made.set_progress_bar_config(disable=True)
    for name, given in changed.items():
        found = getattr(made.components[name], "config", {}).get("num_train_timesteps")
        assert found == given.config.num_train_timesteps, (
            f"{subject.pipeline.name} doesn't keep the {name} that it is given: its "
            f"num_train_timesteps is {found}, and was {given.config.num_train_timesteps}"
        )
    return made


def _facts(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return everything that saving and switching must keep, by a description for messages."""
    found: dict[str, Any] = {f"the option {name}": one for name, one in pipe.options.items()}
    for name, component in pipe.components.items():
        found[f"the class of {name}"] = type(component)
        config = getattr(component, "config", None)
        if isinstance(config, dict):
            # They are loaded from different places.
            entries = {key: one for key, one in config.items() if key != "_name_or_path"}
            found |= {f"{key} of {name}": one for key, one in entries.items()}
        if callable(getattr(component, "get_vocab", None)):
            text = "A red circle, and BLUE stars: 42!"
            found[f"what {name} makes of a text"] = component(text)["input_ids"]
            found[f"the longest text of {name}"] = component.model_max_length
    return {**found, **dtypes(pipe)}


def _refuses_quantized(subject: Subject, folder: Path, name: str) -> None:
    """Check that a network is refused whose config says that its weights are quantized."""
    file = folder / name / "config.json"
    before = file.read_text(encoding="utf-8")
    told = {"quantization_config": {"quant_method": "bitsandbytes"}}
    file.write_text(json.dumps({**json.loads(before), **told}), encoding="utf-8")
    try:
        _load(subject, folder)
    except QuantizedWeightsError:
        return
    finally:
        file.write_text(before, encoding="utf-8")
    raise AssertionError(f"{name} was loaded although its config says that it is quantized")


def _load(subject: Subject, folder: Path, **keywords: Any) -> Any:
    with quiet():
        return subject.cls.from_pretrained(folder, **keywords)
