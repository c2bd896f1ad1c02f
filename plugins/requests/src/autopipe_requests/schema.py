"""Requests by the models of their arguments: JSON schema, and values that are checked.

A model has a field for each argument of a call that can be written as data, with its type, its
default and its description; `arguments_model` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from autopipe.errors import ArgumentError, nearest
from autopipe.tasks import Input, Task
from autopipe.values import Unfit
from autopipe.wording import shown

from .annotations import Anything
from .described import description_of
from .files import open_file
from .models import arguments_model as arguments_model
from .models import facts_of
from .request import Addition, Checkpoint, Data, File, Request, Scheduler, Stage
from .signatures import Argument, owner_of
from .values import Text, fitted, meant, plain

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON schema."""

_PARTS: tuple[type[Data], ...] = (Addition, Checkpoint, File, Scheduler, Stage)


def read_arguments(
    given: Mapping[str, Any],
    model: type[BaseModel],
    spell: Callable[[str], str] = str,
    elsewhere: Collection[str] = (),
) -> dict[str, JsonValue]:
    """Return the given arguments as plain JSON values; each file as an object.

    Args:
        given: the values by name. What a `Text` means depends on the argument; see `from_text`.
        model: a model of `arguments_model`.
        spell: returns how the user writes a name, for messages.
        elsewhere: the arguments that come from elsewhere, so that they can be absent here.

    Raises:
        ArgumentError: if there is no such argument, a value doesn't fit, or one is missing.
    """
    found: dict[str, JsonValue] = {}
    for name, value in given.items():
        argument = argument_of(name, model, spell)
        if isinstance(value, Text):
            value = from_text(str(value), name, model, f"{spell(name)} {shown(str(value))}")
        fits = _checked(value, argument, spell)
        is_file = isinstance(fits, File)
        found[name] = fits.model_dump(exclude_none=True) if is_file else plain(value)
    facts = facts_of(model)
    for name in facts.unmet:
        if name not in elsewhere:
            raise ArgumentError(
                f"{facts.owner} can't be called by a request, because it needs {name}, which JSON "
                f"can't express; call it from a program"
            )
    for name, argument in facts.arguments.items():
        if argument.required and name not in found and name not in elsewhere:
            raise ArgumentError(f"{facts.owner} needs {name}; give {spell(name)}")
    return found


def from_text(
    text: str, name: str, model: type[BaseModel], written: str | None = None
) -> JsonValue:
    """Return the value that a text means for an argument, such as one of a command line.

    A text is JSON if that is valid for the argument, else itself. For a file it is the path, with
    or without an `@` before it; `@FILE` is a file, too, for an argument of any type.

    Args:
        written: how the user wrote name and text, for messages; by default `NAME=TEXT`.

    Raises:
        ArgumentError: if there is no such argument, or no such value is valid for it.
    """
    argument = argument_of(name, model, str)
    path = text.removeprefix("@")
    try:
        if argument.kind == "text":
            fitted(text, argument.type)
            return text
        if argument.is_file and not text.startswith("{") and text not in ("None", "null"):
            fitted(path, argument.type)
            return {"file": path}
        if argument.type == Anything and path != text:
            return {"file": path}
        value = meant(text, argument.type)
        return {"file": value} if argument.is_file and isinstance(value, str) else value
    except Unfit:
        raise ArgumentError(
            f"{written or f'{name}={shown(text)}'} is not valid: {name} takes {argument.takes}"
        ) from None


def call_arguments(
    arguments: Mapping[str, JsonValue],
    model: type[BaseModel],
    folder: Path | None = None,
    *,
    allow_addresses: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a request as calls take them, with their files opened.

    Args:
        arguments: the values by name, as `read_arguments` returns them.
        model: the model that they were read by.
        folder: the folder of all files; None for the current folder and any file.
        allow_addresses: whether images and masks may be URLs.

    Raises:
        ArgumentError: if a value doesn't fit, or a file is not in the folder.
        ImageFileError: if a file can't be read, or has another hash than the request says.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        argument = argument_of(name, model, str)
        found[name] = _checked(value, argument, str)
        if isinstance(found[name], File):
            kind = argument.kind if argument.is_file else "image"
            found[name] = open_file(
                found[name], kind, name, folder, allow_addresses=allow_addresses
            )
    return found


def request_schema(
    task: Task | None, classes: Sequence[type], inputs: Iterable[Input] = (), *, flat: bool = False
) -> dict[str, Any]:
    """Return the JSON schema of requests for a task.

    Args:
        task: the task; None for a pipeline that serves no task.
        classes: the pipeline classes.
        inputs: further inputs; see `arguments_model`.
        flat: whether the arguments stand beside the other fields, of which none is required, and
            further names are accepted; as people write requests.
    """
    model = arguments_model(classes, task, inputs)
    of_arguments = model.model_json_schema()
    schema = _described(Request.model_json_schema(), Request)
    definitions = schema["$defs"] | of_arguments.pop("$defs", {})
    for cls in _PARTS:
        if cls.__name__ in definitions:
            _described(definitions[cls.__name__], cls)
    properties, required = schema["properties"], schema["required"]
    if task is not None:
        about = properties["task"]["description"]
        properties["task"] = {"const": str(task), "title": "Task", "description": about}
        required.append("task")
    if flat:
        del properties["arguments"], schema["additionalProperties"]
        schema["properties"] = {**of_arguments["properties"], **properties}
        schema["required"] = of_arguments.get("required", [])
    else:
        definitions[model.__name__] = of_arguments
        about = properties["arguments"]["description"]
        of_call = {"$ref": f"#/$defs/{model.__name__}", "description": about}
        properties["arguments"] = of_call
        required += ["arguments"] if "required" in of_arguments else []
    schema["title"] = f"Request for {facts_of(model).owner}"
    return {"$schema": DIALECT, **schema, "$defs": definitions}


def _described(schema: dict[str, Any], cls: type[Data]) -> dict[str, Any]:
    """Describe a part of a request, and its fields, by the docstrings of its class."""
    schema["description"] = (cls.__doc__ or "").partition("\n")[0]
    for name, one in schema["properties"].items():
        told = (description_of(base, name) for base in cls.__mro__ if issubclass(base, Data))
        one["description"] = next(filter(None, told), "")
    return schema


def _checked(value: Any, argument: Argument, spell: Callable[[str], str]) -> Any:
    """Return a value as calls take it, and a `File` for a file.

    Raises:
        ArgumentError: if it doesn't fit.
    """
    try:
        fits = fitted(value, argument.type)
    except Unfit:
        name = argument.name
        raise ArgumentError(
            f"{spell(name)} {shown(value)} is not valid: {name} takes {argument.takes}"
        ) from None
    return File(file=fits) if argument.is_file and isinstance(fits, str) else fits


def argument_of(name: str, model: type[BaseModel], spell: Callable[[str], str]) -> Argument:
    """Return the argument called `name`.

    Raises:
        ArgumentError: if there is no such argument; the message has the reason.
    """
    facts = facts_of(model)
    found = facts.arguments.get(name)
    if found is not None:
        return found
    if not isinstance(name, str):
        raise ArgumentError(f"{facts.owner} doesn't take {shown(name)}; names are text")
    if name in facts.left_out:
        why = facts.left_out[name].format(seed=spell("seed"), addons=spell("addons"))
        raise ArgumentError(f"{facts.owner} doesn't take {shown(name)} here: {why}")
    owner = owner_of(name)
    hint = f"; it belongs to {owner}, so also give that" if owner else ""
    hint = hint or "." + nearest(name, facts.arguments)
    raise ArgumentError(f"{facts.owner} doesn't take {shown(name)}{hint}")
