"""The arguments of a pipeline's call that can be written as data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from pydantic import JsonValue

from autopipe.registry import default_registry
from autopipe.tasks import Input, Task
from autopipe.values import Unfit

from .annotations import (
    Anything,
    FileValue,
    alternatives,
    annotation_of,
    is_anything,
    is_picture,
    json_part,
    limited,
    words_of,
)
from .described import description_of
from .values import fitted, plain

FILES = ("image", "mask", "video", "audio")
"""The kinds of inputs that are read from files."""

NOT_GIVEN = object()
"""The default of an argument whose default isn't known, or can't be written as data."""

_NO_DATA = "it takes nothing that JSON can express"
UNMET = f"{_NO_DATA}, and every call needs it"
"""Why an argument is left out without which no request is possible."""

_NUMBERS = r"(-?\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"\bin \[{_NUMBERS}, {_NUMBERS}\]")
_USUAL: Mapping[str, Any] = {"text": str, "number": int | float, "label": int | str}
"""The types of inputs by kind, if the signature doesn't say them."""

_REPEATS = "num_images_per_prompt"
_OF_TENSORS = ("latents", "_embeds")
_LEFT_OUT: Mapping[str, str] = {
    "generator": "{seed} sets it",
    "adapters": "{addons} sets it",
    "output_type": "the file to write decides it",
    "return_dict": "results are always written to files",
    "cancellation": "a function or an event is not data",
}
"""Arguments of calls that are not part of a request, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Argument:
    """An argument of a call.

    Attributes:
        name: its name in the call.
        type: the type of its values in JSON; see `annotations.json_part`.
        kind: the kind of file that it is read from, `text`, or empty for other JSON.
        required: whether every call needs it.
        default: the default in JSON, or `NOT_GIVEN`.
        about: a description on one line, or empty.
    """

    name: str
    type: Any
    kind: str = ""
    required: bool = False
    default: Any = NOT_GIVEN
    about: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is read from a file."""
        return self.kind in FILES

    @property
    def takes(self) -> str:
        """What it takes, for messages."""
        if not self.is_file:
            return words_of(self.type)
        none = " | None" if NoneType in alternatives(self.type) else ""
        return f"{'a' if self.kind in ('mask', 'video') else 'an'} {self.kind} file{none}"


def takes_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a call of `cls` that can be given by name."""
    found = list(inspect.signature(cls.__call__).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {one.name: one for one in found if one.kind in named}


def arguments_of(
    cls: type, task: Task | None, inputs: Iterable[Input]
) -> tuple[dict[str, Argument], dict[str, str]]:
    """Return the arguments by name, and why the others of the call are left out.

    Args:
        inputs: further inputs, of add-ons and conditions, which the call takes.
    """
    of_task = {one.name: one for one in (task.inputs if task else ())}
    declared = {**of_task, **{one.name: one for one in inputs}}
    found: dict[str, Argument] = {}
    left_out: dict[str, str] = {}
    for name, parameter in takes_of(cls).items():
        one = declared.get(name)
        why = _left_out(name, task) if one is None else None
        made = None if why else _argument(cls, parameter, one)
        if made is None:
            optional = parameter.default is not parameter.empty
            left_out[name] = why or (_NO_DATA if optional else UNMET)
        else:
            found[name] = made
    for name, one in declared.items():
        if name not in found and name not in of_task:
            kind = FileValue if one.kind in FILES else _USUAL.get(one.kind, Anything)
            found[name] = Argument(
                name=name, type=kind, kind=_kind(one), required=one.required, about=one.help
            )
    return found, left_out


def declared_inputs() -> tuple[Input, ...]:
    """Return the inputs that the installed packages declare for tasks, conditions and add-ons."""
    registry = default_registry()
    owners = (*registry.tasks, *registry.conditions.values(), *registry.of("addon").values())
    return tuple(one for owner in owners for one in owner.inputs)


def owner_of(name: str) -> str | None:
    """Return the condition or add-on that an input belongs to, for messages, or None."""
    registry = default_registry()
    for kind, owners in (("condition", registry.conditions), ("add-on", registry.of("addon"))):
        for called, owner in owners.items():
            if any(one.name == name for one in owner.inputs):
                return f"the {kind} {called!r}"
    return None


def _left_out(name: str, task: Task | None) -> str | None:
    """Return why an argument isn't part of a request, or None if it is."""
    if name in (_REPEATS, task.repeats if task else None):
        return "a request makes one result; give several requests with different seeds"
    if "callback" in name:
        return _LEFT_OUT["cancellation"]
    return _LEFT_OUT.get(name)


def _argument(cls: type, parameter: inspect.Parameter, one: Input | None) -> Argument | None:
    """Return the argument of a parameter, or None if no value of it is data."""
    name, annotation = parameter.name, annotation_of(cls.__call__, parameter.name)
    unsaid = is_anything(annotation)
    if one is None and (unsaid or is_picture(annotation)):
        files = (one for one in declared_inputs() if one.name == name and one.kind in FILES)
        known = next(files, None)
        kind = known.kind if known else "" if unsaid else "image"
        about = known.help if known and owner_of(name) else ""
    else:
        kind, about = _kind(one), one.help if one else ""
    if unsaid and not kind and name.endswith(_OF_TENSORS):
        return None
    part = _type(annotation, one, kind)
    if part is None:
        return None
    about = about or description_of(cls, name)
    part, default = _limited(part, about, _default(parameter))
    required = parameter.default is parameter.empty or (one is not None and one.required)
    return Argument(
        name=name, type=part, kind=kind, required=required, default=default, about=about
    )


def _type(annotation: Any, one: Input | None, kind: str) -> Any:
    """Return the type of a parameter in JSON; None if JSON can't express any of its values."""
    part = json_part(annotation)
    may_be_none = not is_anything(annotation) and NoneType in alternatives(annotation)
    if kind in FILES or kind == "text":
        found: Any = str if kind == "text" else FileValue
        return found | None if may_be_none and not (one and one.required) else found
    if one is not None and part in (None, Anything):
        return _USUAL.get(one.kind, Anything)
    return part


def _kind(one: Input | None) -> str:
    return one.kind if one is not None and one.kind in (*FILES, "text") else ""


def _limited(part: Any, about: str, default: Any) -> tuple[Any, Any]:
    """Return the type, with the range that the description tells, and the default if it fits."""
    if told := _RANGE.search(about):
        within = limited(part, *(float(one) for one in told.groups()))
        if default is NOT_GIVEN or _fits(default, within):
            part = within
    return part, default if default is not NOT_GIVEN and _fits(default, part) else NOT_GIVEN


def _fits(value: JsonValue, kind: Any) -> bool:
    try:
        fitted(value, kind)
    except Unfit:
        return False
    return True


def _default(parameter: inspect.Parameter) -> Any:
    """Return the default as JSON, or `NOT_GIVEN`."""
    if parameter.default is parameter.empty:
        return NOT_GIVEN
    try:
        return plain(parameter.default)
    except (TypeError, ValueError, RecursionError):
        return NOT_GIVEN
