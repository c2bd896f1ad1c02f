"""Checks the arguments of a request by the class that will be called, and hashes its files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError, ImageFileError, nearest
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.tasks import Input, Task
from autopipe.wording import error_summary, shown

from .completing import KEYS
from .hashes import sha256_of
from .identifying import identified
from .inputs import Text, is_address, joined, needs_of
from .models import arguments_model, facts_of
from .request import Addition, Checkpoint, Request
from .schema import argument_of, from_text, read_arguments
from .signatures import owner_of, takes_of

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
    fields["size"] = _size(values, fields["size"], draft, completion) if by_size else fields["size"]
    for name, value in values.items():
        values[name] = _hashed(value, spelled(name), completion)
    fields["addons"] = tuple(_addition(one, completion) for one in fields["addons"])
    key = named, cls, repr([fields[name] for name in ("stages", "conditions", "upscale")])
    if key not in completion.identities:
        completion.identities[key] = identified(named, cls, fields, completion)
    fields |= completion.identities[key]
    try:
        made = Request(task=draft.task and str(draft.task), arguments=values, **fields)
        made.canonical()  # It raises for texts that can't be encoded.
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"the request is not valid: {error_summary(error)}") from None
    return made


def _size(
    values: dict[str, Any], size: tuple[int, int] | None, draft: Draft, completion: Completion
) -> tuple[int, int] | None:
    """Return the size, after taking width and height from `values` if they mean the same.

    With pictures they don't, because a size also resizes these.

    Raises:
        ArgumentError: if a side is given twice.
    """
    sides = [values[name] for name in SIZE if name in values]
    if size is not None and sides:
        name = next(name for name in SIZE if name in values)
        raise ArgumentError(
            f"{completion.spelled(draft, name)} and {completion.spell('size')} set the same "
            f"argument; give only one"
        )
    is_size = len(sides) == len(SIZE) and all(type(one) is int and one > 0 for one in sides)
    if not is_size or _pictures(draft.inputs, values):
        return size
    return values.pop(SIZE[0]), values.pop(SIZE[1])


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
    is_known = name in {*facts.arguments, *facts.left_out, *draft.chosen} or owner_of(name)
    if not is_known and (hint := nearest(name, [*facts.arguments, *KEYS])):
        raise ArgumentError(f"{facts.owner} doesn't take {shown(name)}.{hint}")
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
    name = value.get("file") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or is_address(name):
        return value
    path = completion.find(name, value.get("sha256"))
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
