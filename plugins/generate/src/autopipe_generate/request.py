"""Reads and checks the request of `autopipe generate` before heavy imports."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autopipe.cli.checkpoint import Checkpoint, open_checkpoint
from autopipe.cli.families import no_family_hint
from autopipe.cli.options import PROMPT, given_of, stage_keywords
from autopipe.errors import ArgumentError, ImageFileError, MissingPluginError, nearest
from autopipe.manifest import EAGER
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.resolution.hints import dist_with_demo, dist_with_fast, pip_line
from autopipe.tasks import Input, Task
from autopipe.wording import listed, shown

from .aliases import known_as
from .inputs import FILES, attached_in, attaching, source_of, task_of, word
from .results import SUFFIXES, check_writable, output_name, suffix_of

OPTIONS: Mapping[str, str] = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "negative_prompt": "negative",
    "strength": "strength",
}
"""Parameters of calls that have their own option for every task."""

_PER_STAGE = ("num_inference_steps", "guidance_scale")
_AS_GIVEN = (
    "paste_unmasked", "variant", "dtype", "device", "memory", "offload_folder", "offload", "config"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The request for one checkpoint.

    Attributes:
        model: the checkpoint.
        commit: the commit of a repository, or None.
        scheduler: the scheduler class that replaces the checkpoint's, or None.
        call: the given arguments of the call.
    """

    model: str
    commit: str | None = None
    scheduler: str | None = None
    call: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request(Stage):
    """The request for one run of `generate`: its first stage, and everything else.

    Attributes:
        class_name: the pipeline class that the checkpoint names.
        output: the file to write.
        seed: the seed of the first result.
        count: the number of results.
        task: the task; None for a pipeline that serves no task.
        inputs: the given values of the inputs of the task, conditions and add-ons.
        set: arguments of the call by name, as text.
        conditions: the given models, by the keyword of their condition.
        stages: the checkpoints of other stages of a chain, by keyword.
        attach: names of add-ons, or `NAME=FILE[:STRENGTH]`.
        fast: names of add-ons that make results faster.
        engine: the name of an engine, or `COMPONENT=NAME` for some components.
        upscale: the stages that enlarge the results.
        config: the folder or repository with what a single file lacks, or None.
    """

    class_name: str
    output: Path
    seed: int
    count: int = 1
    task: Task | None = None
    inputs: Mapping[Input, str] = field(default_factory=dict)
    set: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    attach: Sequence[str] = ()
    fast: Sequence[str] = ()
    engine: Sequence[str] = ()
    upscale: tuple[Stage, ...] = ()
    paste_unmasked: bool = True
    variant: str | None = None
    dtype: str | None = None
    device: str | None = None
    memory: str | None = None
    offload_folder: str | None = None
    offload: str | None = None
    config: str | None = None

    @property
    def addons(self) -> list[str]:
        """The names of the add-ons."""
        return [*(text.partition("=")[0] for text in self.attach), *self.fast]


def request_of(arguments: argparse.Namespace, registry: Registry) -> Request:
    """Return the request that the arguments describe, reading the index of the checkpoint.

    Raises:
        ArgumentError: if arguments contradict each other, or name something that no installed
            family has.
        CheckpointError: if there is no such checkpoint.
        ImageFileError: if an input file is absent, or the output can't be written.
        MissingPluginError: if no model is given and no family ships a demo.
        UnsupportedCheckpointError: if no installed family supports the task for the checkpoint.
    """
    _check_memory(arguments)
    given = given_of(arguments)
    chosen = dict(arguments.set or ())
    if not given and arguments.model is None and arguments.task is None:
        arguments.command.error(f"give {PROMPT}, or a --model that needs no prompt")
    no_inputs = {text: given.pop(text) for text in [*given] if text not in arguments.owners}
    conditions = {
        keyword: _model(no_inputs[f"--{keyword}"], keyword, registry)
        for keyword in registry.conditions
        if f"--{keyword}" in no_inputs
    }
    names = stage_keywords(registry)
    stages = {name: no_inputs[f"--{name}"] for name in names if f"--{name}" in no_inputs}
    inputs = _further_inputs(arguments, given, conditions, chosen, registry)
    first, *others = _stages(arguments, registry)
    checkpoint = _opened(first["model"], arguments, registry)
    class_name = checkpoint.index.class_name
    left = [text for text in given if text not in map(word, inputs)]
    with_set = [
        *given,
        *(word(one) for t in registry.tasks for one in t.inputs if one.name in chosen),
    ]
    task = task_of(arguments.task, class_name, conditions, with_set, left, registry)
    known = task.inputs if task else [one for t in registry.tasks for one in t.inputs]
    by_word = {word(one): one for one in reversed(known)}
    inputs.update({by_word[text]: given[text] for text in by_word if text in given})
    _check_files(inputs)
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    suffixes = [suffix_of(task.output)] if task else SUFFIXES
    title = given.get(PROMPT) or first["model"]
    output = output_name(arguments.output, title, seed, arguments.num_images, suffixes)
    check_writable(output, arguments.num_images)
    return Request(
        **first,
        **{name: getattr(arguments, name) for name in _AS_GIVEN},
        commit=checkpoint.commit,
        class_name=class_name,
        task=task,
        output=output,
        seed=seed,
        count=arguments.num_images,
        inputs=inputs,
        set=chosen,
        conditions=conditions,
        stages=stages,
        attach=attached_in(arguments, registry),
        fast=_fast(arguments, registry),
        engine=_engines(arguments),
        upscale=tuple(_later(stage, registry) for stage in others),
    )


def _opened(model: str, arguments: argparse.Namespace, registry: Registry) -> Checkpoint:
    """Open the checkpoint of the first stage, or the single file that `--config` completes."""
    if arguments.config is None:
        return open_checkpoint(model, registry, arguments.revision)
    if not is_file(model):
        raise ArgumentError(f"--config is for a single file, and {shown(model)} is not one")
    from autopipe.checkpoint.single_file import open_pipeline

    opened = open_pipeline(model, {"config": arguments.config}, registry)
    return Checkpoint(opened.source, opened.index)


def _further_inputs(
    arguments: argparse.Namespace,
    given: Mapping[str, str],
    conditions: Mapping[str, str],
    chosen: Mapping[str, str],
    registry: Registry,
) -> dict[Input, str]:
    """Return the given inputs of the requested conditions and add-ons."""
    owners: dict[str, Any] = {f"--{key}": registry.conditions[key] for key in conditions}
    for text in attached_in(arguments, registry):
        name, *_ = source_of(text)
        addon = registry.entry("addon", name)
        owners[attaching(name, addon)] = addon
    for name in _fast(arguments, registry):
        owners[f"--attach {name}"] = registry.entry("addon", name)
    for text in (engines := _engines(arguments)):
        if (engine := text.rpartition("=")[2]) != EAGER:
            registry.entry("engine", engine)
        if "=" not in text and len(engines) > 1:
            raise ArgumentError(
                f"--engine {text} is for all networks; give only this one, or COMPONENT={text}"
            )
    found: dict[Input, str] = {}
    for option, owner in owners.items():
        for one in owner.inputs:
            if word(one) in given:
                found[one] = given[word(one)]
            elif one.required and one.name not in chosen:
                is_option = word(one) in arguments.owners
                hint = word(one) if is_option else f"--set {one.name}=VALUE"
                raise ArgumentError(f"{option} needs {one.help or 'an input'}; give {hint}")
    for text in given:
        if (owner := arguments.owners[text]) and text not in map(word, found):
            raise ArgumentError(f"{text} needs {owner}; also give {owner}")
    return found


def _engines(arguments: argparse.Namespace) -> list[str]:
    """Return the requested engines, each as `NAME` or `COMPONENT=NAME`."""
    return [one for text in arguments.engine or () for one in text.split(",")]


def fast_addons(registry: Registry) -> dict[str, str]:
    """Return what is lost with each installed add-on for `--fast`, by its name."""
    return {name: one.fast for name, one in registry.of("addon").items() if one.fast}


def _fast(arguments: argparse.Namespace, registry: Registry) -> list[str]:
    """Return the names of the add-ons that `--fast` attaches.

    Raises:
        MissingPluginError: if none is installed.
    """
    if not arguments.fast:
        return []
    attached = [text.partition("=")[0] for text in attached_in(arguments, registry)]
    found = fast_addons(registry)
    if not found:
        raise MissingPluginError(
            f"no installed plugin has an add-on for --fast. Run: {pip_line(dist_with_fast())}"
        )
    return [name for name in found if name not in attached]


def _model(text: str, keyword: str, registry: Registry) -> str:
    """Return the model of a condition; `demo` means the demo of the plugin that declares it."""
    condition = registry.conditions[keyword]
    owners = (n for n, f in registry.families.items() if condition in f.conditions and f.demo)
    owner = next(owners, None) if text == "demo" else None
    return f"demo:{owner}" if owner else text


def _check_files(inputs: Mapping[Input, str]) -> None:
    for one, text in inputs.items():
        is_address = one.kind in ("image", "mask") and _is_address(text)
        if one.kind in FILES and not is_address and not is_file(text):
            what = "image" if one.kind in ("image", "mask") else one.kind
            raise ImageFileError(f"the {what} {shown(text)} of {word(one)} doesn't exist")


def _is_address(text: str) -> bool:
    try:
        return urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _check_memory(arguments: argparse.Namespace) -> None:
    if arguments.memory is not None and arguments.offload is not None:
        raise ArgumentError("--memory and --offload both control offloading; give only one of them")
    if arguments.offload_folder is not None and arguments.memory is None:
        raise ArgumentError("--offload-folder needs --memory; also give --memory")


def _stages(arguments: argparse.Namespace, registry: Registry) -> list[dict[str, Any]]:
    """Return the options of each checkpoint: the first value of each option, the second, ..."""
    models = [arguments.model or _demo(registry, arguments.task), *(arguments.upscale or ())]
    stages: list[dict[str, Any]] = [{"model": model, "call": {}} for model in models]
    for name in ("steps", "guidance", "size", "scheduler"):
        values = getattr(arguments, name) or ()
        if len(values) > len(models):
            raise ArgumentError(
                f"--{name} is given {len(values)} times; give it once for --model, and once for "
                f"each --upscale"
            )
        for stage, value in zip(stages, values):
            if name == "scheduler":
                stage[name] = _scheduler(value, registry)
            elif name == "size":
                stage["call"] |= {"width": value[0], "height": value[1]}
            else:
                stage["call"] |= {p: value for p in _PER_STAGE if OPTIONS[p] == name}
    for parameter, name in OPTIONS.items():
        if parameter not in _PER_STAGE and getattr(arguments, name) is not None:
            stages[0]["call"][parameter] = getattr(arguments, name)
    return stages


def _later(stage: Mapping[str, Any], registry: Registry) -> Stage:
    """Return a stage that enlarges, after checking that a family can open its checkpoint."""
    checkpoint = open_checkpoint(stage["model"], registry)
    registry.resolve(checkpoint.index.class_name)
    return Stage(**stage, commit=checkpoint.commit)


def _demo(registry: Registry, task: str | None) -> str:
    """Return the demo checkpoint of an installed family that serves `task` if it is given."""
    wanted = None if task is None else registry.task(task)
    names = [
        name
        for name, family in registry.families.items()
        if family.demo_opens
        if wanted is None or any(wanted in pipeline.tasks for pipeline in family.pipelines)
    ]
    if not names:
        raise MissingPluginError(
            f"no installed family ships a demo checkpoint{f' for {wanted}' if wanted else ''}, so "
            f"--model is needed. For a family with a demo: {no_family_hint()}"
        )
    ours = (name for name in names if registry.plugins[name].dist == dist_with_demo())
    return f"demo:{next(ours, names[0])}"


def _scheduler(name: str, registry: Registry) -> str:
    """Return the full name of an installed scheduler from a short name or an alias."""
    installed = sorted(
        component.name
        for family in registry.families.values()
        for component in family.components
        if component.kind == "scheduler"
    )
    short = {full.removesuffix("Scheduler"): full for full in installed}
    plain = {text.lower(): full for text, full in (*short.items(), *zip(installed, installed))}
    found = plain.get(name.lower())
    if found is None:
        meant = known_as(name)
        hint = (
            f" Did you mean {meant!r}?" if meant in short else nearest(name, [*short, *installed])
        )
        names = listed(short, 30) or "none"
        raise ArgumentError(f"there is no scheduler {shown(name)}.{hint} Installed: {names}")
    return found
