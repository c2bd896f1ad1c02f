"""Checks the arguments of a request by the class that will be called, and hashes its files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.checkpoint.checkpoint import Checkpoint as Opened
from autopipe.checkpoint.single_file import open_pipeline
from autopipe.errors import ArgumentError, ImageFileError
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.tasks import Input, Task
from autopipe.wording import shown

from .hashes import fingerprint, sha256_of
from .inputs import Text, is_address, joined, needs_of
from .models import arguments_model, facts_of
from .request import Addition, Checkpoint, Request
from .schema import argument_of, from_text, read_arguments
from .signatures import takes_of

if TYPE_CHECKING:
    from .completing import Completion, Draft

SIZE = ("width", "height")
"""The arguments that `Request.size` sets."""

ADAPTERS = Input("adapters", "value", required=False)
"""The argument of every call with add-ons: their strengths in this call."""


def checked(draft: Draft, completion: Completion) -> Request:
    """Return the complete request.

    Raises:
        AutopipeError: as for `Completion.complete`.
    """
    registry, spell = completion.registry, completion.spell
    fields = dict(draft.fields)
    named: Checkpoint = fields["checkpoint"]
    class_name = draft.opened.index.class_name
    cls = class_of(class_name, draft.task, fields["conditions"], registry)
    inputs = (*draft.inputs, *([ADAPTERS] if fields["addons"] else []))
    model = arguments_model((cls,), draft.task, inputs)
    takes = takes_of(cls)
    given = dict(draft.arguments)
    for name, value in given.items():
        _check_name(name, model, draft, completion)
        if isinstance(value, Text):
            written = completion.written(draft, name, value)
            given[name] = from_text(value, name, model, written)
    by_size = {*SIZE} <= {*takes}
    if fields["size"] and not by_size and not _pictures(draft.inputs, given):
        raise ArgumentError(f"{cls.__name__} doesn't take {spell('size')}; leave it out")
    if draft.task is not None and "paste_unmasked" in takes:
        given.setdefault("paste_unmasked", True)

    def spelled(name: str) -> str:
        return completion.spelled(draft, name)

    values = read_arguments(given, model, spelled, SIZE if fields["size"] and by_size else ())
    for name, value in values.items():
        values[name] = _hashed(value, spelled(name), completion)
    fields["addons"] = tuple(_addition(one, completion) for one in fields["addons"])
    key = named, cls, repr(fields["stages"]), repr(fields["conditions"])
    if key not in completion.identities:
        completion.identities[key] = identified(named, cls, fields, completion)
    fields["checkpoint"] = completion.identities[key]
    return Request(task=draft.task and str(draft.task), arguments=values, **fields)


def class_of(
    class_name: str, task: Task | str | None, conditions: Mapping[str, Any], registry: Registry
) -> Any:
    """Return the pipeline class for a task and conditions, given the class of a checkpoint."""
    wanted = {name: one is not False for name, one in conditions.items()}
    return registry.resolve(class_name, task, wanted).load_class()


def _check_name(name: str, model: Any, draft: Draft, completion: Completion) -> None:
    """Check that the call has an argument of this name.

    Raises:
        ArgumentError: if it has none; for an option of the command line, with what it needs.
    """
    key = draft.keys.get(name, name)
    facts = facts_of(model)
    if draft.task is not None and name == draft.task.repeats:
        raise ArgumentError(
            f"{completion.spelled(draft, name)} can't be given, because a request makes one "
            f"result; {completion.spell('num_images')} makes several"
        )
    if (key != name or name == "prompt") and name not in facts.arguments:
        hint = _needed(name, draft, completion)
        raise ArgumentError(f"{facts.owner} doesn't take {completion.spell(key)}{hint}")
    argument_of(name, model, lambda one: completion.spelled(draft, one))


def _needed(name: str, draft: Draft, completion: Completion) -> str:
    """Return a hint: the inputs that are missing for a task with this parameter."""
    tasks = [t for t in completion.registry.tasks if name in t.parameters and t != draft.task]
    given = set(draft.keys.values())
    missing = [completion.spell(k) for t in tasks[:1] for k in needs_of(t) if k not in given]
    return "; leave it out" + (f", or also give {joined(missing)}" if missing else "")


def _pictures(inputs: Iterable[Input], given: Mapping[str, Any]) -> list[str]:
    """Return the names of the given images and masks among the inputs."""
    return [one.name for one in inputs if one.kind in ("image", "mask") and one.name in given]


def _hashed(value: Any, written: str, completion: Completion) -> Any:
    """Return the argument with the hash of its file, if it is one on this machine."""
    if not isinstance(value, Mapping) or "file" not in value or is_address(value["file"]):
        return value
    path = completion.find(value["file"], value.get("sha256"))
    if not is_file(path):
        raise ImageFileError(f"the file {shown(str(path))} of {written} doesn't exist")
    return {"file": str(path), "sha256": _same(path, value.get("sha256"), completion)}


def _addition(one: Addition, completion: Completion) -> Addition:
    path = Path(os.path.expanduser(one.source or ""))
    if one.source is None or not is_file(path):
        return one
    return one.model_copy(update={"sha256": _same(path, one.sha256, completion)})


def _same(path: Path, expected: str | None, completion: Completion) -> str:
    """Return the hash of a file, which must be the expected one."""
    found = sha256_of(path)
    if expected not in (None, found):
        raise ArgumentError(
            f"{shown(str(path))} has changed: its SHA-256 begins with {found[:10]}, and the "
            f"request has {shown(str(expected)[:10])}; use the original file, or "
            f"{completion.otherwise or 'leave out sha256'}"
        )
    return found


def identified(
    named: Checkpoint, cls: Any, fields: Mapping[str, Any], completion: Completion
) -> Checkpoint:
    """Return a local checkpoint with its fingerprint.

    Raises:
        ArgumentError: if the request has another fingerprint.
    """
    if named.commit is not None:
        return named
    registry = completion.registry
    options = {"variant": named.variant, **fields["stages"], **completion.loading}
    options = {name: value for name, value in options.items() if value is not None}
    conditions = {n: one for n, one in fields["conditions"].items() if one is not False}
    if named.config is None:
        opened = Opened.open(named.name, options, registry)
    else:
        opened = open_pipeline(named.name, {"config": named.config, **options}, registry)
    single = named.name if is_file(os.path.expanduser(named.name)) else None
    found = fingerprint(opened.plan(_without(cls, conditions, opened, registry)), single)
    if named.fingerprint not in (None, found):
        raise ArgumentError(
            f"the checkpoint {shown(named.name)} has changed: its fingerprint is {found}, and the "
            f"request has {shown(named.fingerprint)}; use the original, or "
            f"{completion.otherwise or 'leave out fingerprint'}"
        )
    return named.model_copy(update={"fingerprint": found})


def _without(cls: Any, conditions: Mapping[str, Any], opened: Opened, registry: Registry) -> Any:
    """Return the class that opens the checkpoint's own components."""
    if not conditions:
        return cls
    pipeline = registry.pipeline_of(cls)
    task = pipeline.task if pipeline else None
    plain = dict.fromkeys(conditions, False)
    return registry.resolve(opened.index.class_name, task, plain).load_class()
