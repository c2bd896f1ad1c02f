"""Models of the arguments of calls, made from tasks and signatures."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, create_model

from autopipe.tasks import Input, Task

from .annotations import union
from .signatures import NOT_GIVEN, UNMET, Argument, arguments_of, declared_inputs


@dataclass(frozen=True)
class Facts:
    """What a model was made from.

    Attributes:
        owner: what takes the arguments, for messages.
        arguments: the arguments, by name.
        left_out: why the other arguments of the calls are left out, by name.
        unmet: those of them that every call needs, and that nothing else sets.
    """

    owner: str
    arguments: Mapping[str, Argument]
    left_out: Mapping[str, str]
    unmet: tuple[str, ...] = ()


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


def facts_of(model: type[BaseModel]) -> Facts:
    """Return what a model of `arguments_model` was made from."""
    assert issubclass(model, Arguments)
    return model.__facts__


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
        unmet = tuple(name for name, why in left_out.items() if why == UNMET)
    else:
        unmet = ()
        title = "".join(part.capitalize() for part in str(task).split("_"))
        owner = "these pipelines" if task is None else f"the task {task}"
        needed = {one.name for one in (*of_task, *inputs) if one.required}
        arguments = {name: _united(same, name in needed) for name, same in found.items()}
    left_out = {name: why for name, why in left_out.items() if name not in arguments}
    fields: Any = _fields(arguments)
    about = f"The arguments of a call of {owner}."
    made = create_model(f"{title}Arguments", __base__=Arguments, __doc__=about, **fields)
    made.__facts__ = Facts(owner, MappingProxyType(arguments), MappingProxyType(left_out), unmet)
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
