"""Models of the arguments of calls, made from tasks and signatures.

A model has a field for each argument that can be written as data, with its type, its default and
its description. Programs read it as JSON schema; `read_arguments` and `call_arguments` check values
by it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from autopipe.errors import ArgumentError, nearest
from autopipe.tasks import Input, Task
from autopipe.values import Unfit
from autopipe.wording import shown

from .annotations import Anything, union
from .files import open_file
from .request import File, Request
from .signatures import NOT_GIVEN, Argument, arguments_of, declared_inputs, owner_of
from .values import fitted, meant, plain

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON schema."""


@dataclass(frozen=True)
class Facts:
    """What a model was made from.

    Attributes:
        owner: what takes the arguments, for messages.
        arguments: the arguments, by name.
        left_out: why the other arguments of the calls are left out, by name.
    """

    owner: str
    arguments: Mapping[str, Argument]
    left_out: Mapping[str, str]


class Arguments(BaseModel):
    """The base of the models of arguments."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, protected_namespaces=()
    )
    __facts__: ClassVar[Facts] = Facts("", {}, {})


def arguments_model(
    classes: Sequence[type], task: Task | None, inputs: Iterable[Input] = ()
) -> type[Arguments]:
    """Return the model of the arguments of a call.

    With one class, its fields are exactly the arguments of its call. With several, it has the
    arguments of all of them, with the union of their types; a default if all of them agree; and
    required are those that `task` requires.

    Args:
        classes: the pipeline classes.
        task: the task; None for a pipeline that serves no task.
        inputs: the inputs of attached add-ons and of conditions. One named `adapters` adds the
            strengths of attachments, which are left out otherwise.
    """
    known, given = declared_inputs(), tuple(inputs)
    of_task = () if task is None else task.inputs
    if task is None:
        of_tasks = {one for other in Task for one in other.inputs}
        given = tuple(one for one in given if one not in of_tasks)
    return _model(tuple(classes), task, of_task, given, known)


@functools.lru_cache(maxsize=512)
def _model(
    classes: tuple[type, ...],
    task: Task | None,
    of_task: tuple[Input, ...],
    inputs: tuple[Input, ...],
    known: tuple[Input, ...],
) -> type[Arguments]:
    """Return the model; `of_task` and `known` say when it is no longer the same."""
    found: dict[str, list[Argument]] = {}
    left_out: dict[str, str] = {}
    for cls in classes:
        taken, others = arguments_of(cls, task, inputs)
        left_out |= others
        for name, one in taken.items():
            found.setdefault(name, []).append(one)
    if len(classes) == 1:
        title = owner = classes[0].__name__
        arguments = {name: same[0] for name, same in found.items()}
    else:
        title = "".join(part.capitalize() for part in str(task).split("_"))
        owner = "these pipelines" if task is None else f"the task {task}"
        needed = {one.name for one in (*of_task, *inputs) if one.required}
        arguments = {name: _united(same, name in needed) for name, same in found.items()}
    left_out = {name: why for name, why in left_out.items() if name not in arguments}
    fields: Any = _fields(arguments)
    made = create_model(f"{title}Arguments", __base__=Arguments, **fields)
    made.__facts__ = Facts(owner, MappingProxyType(arguments), MappingProxyType(left_out))
    model: type[Arguments] = made
    return model


def _united(same: Sequence[Argument], required: bool) -> Argument:
    """Return the argument of several calls."""
    first = same[0]
    defaults = [one.default for one in same]
    agreed = all(one == first.default and type(one) is type(first.default) for one in defaults)
    return replace(
        first,
        type=union(one.type for one in same),
        required=required,
        default=first.default if agreed else NOT_GIVEN,
        about=next((one.about for one in same if one.about), ""),
    )


def _fields(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Return the fields of a model. Those that a model itself has get another name and an alias."""
    made: dict[str, Any] = {}
    for name, one in arguments.items():
        how: dict[str, Any] = {"description": one.about or None, "alias": name}
        if one.kind:
            how["json_schema_extra"] = {"kind": one.kind}
        if not one.required and one.default is NOT_GIVEN:
            how["default_factory"] = lambda: None
        elif not one.required:
            how["default"] = one.default
        taken = name.startswith("_") or hasattr(Arguments, name)
        made[f"argument_{name}" if taken else name] = (one.type, Field(**how))
    return made


def read_arguments(
    given: Mapping[str, Any],
    model: type[BaseModel],
    spell: Callable[[str], str] = str,
    elsewhere: Collection[str] = (),
) -> dict[str, JsonValue]:
    """Return the given arguments as plain JSON values; each file as an object.

    Args:
        given: the values by name.
        model: a model of `arguments_model`.
        spell: returns how the user writes a name, for messages.
        elsewhere: the arguments that come from elsewhere, so that they can be absent here.

    Raises:
        ArgumentError: if there is no such argument, a value doesn't fit, or one is missing.
    """
    found: dict[str, JsonValue] = {}
    for name, value in given.items():
        argument = _argument(name, model, spell)
        try:
            fits = fitted(value, argument.type)
        except Unfit:
            raise ArgumentError(
                f"{spell(name)} is {shown(value)}, which is not valid: {name} takes "
                f"{argument.takes}"
            ) from None
        if argument.is_file and isinstance(fits, str):
            fits = File(file=fits)
        is_file = isinstance(fits, File)
        found[name] = fits.model_dump(exclude_none=True) if is_file else plain(value)
    facts = facts_of(model)
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
    argument = _argument(name, model, str)
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
        return meant(text, argument.type)
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
    any_missing = facts_of(model).arguments
    for name, value in read_arguments(arguments, model, elsewhere=any_missing).items():
        argument = _argument(name, model, str)
        found[name] = fitted(value, argument.type)
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
    schema = Request.model_json_schema()
    definitions = schema["$defs"] | of_arguments.pop("$defs", {})
    properties, required = schema["properties"], schema["required"]
    if task is not None:
        properties["task"] = {"const": str(task), "title": "Task"}
        required.append("task")
    if flat:
        del properties["arguments"], schema["additionalProperties"]
        schema["properties"] = {**of_arguments["properties"], **properties}
        schema["required"] = of_arguments.get("required", [])
    else:
        definitions[model.__name__] = of_arguments
        properties["arguments"] = {"$ref": f"#/$defs/{model.__name__}"}
        required += ["arguments"] if "required" in of_arguments else []
    schema["title"] = f"Request for {facts_of(model).owner}"
    return {"$schema": DIALECT, **schema, "$defs": definitions}


def facts_of(model: type[BaseModel]) -> Facts:
    """Return what a model of `arguments_model` was made from."""
    assert issubclass(model, Arguments)
    return model.__facts__


def _argument(name: str, model: type[BaseModel], spell: Callable[[str], str]) -> Argument:
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
