"""The fields of a request, read from the JSON schema of its task."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autopipe_requests.request import Request

IMAGES = ("image", "mask")
FILES = (*IMAGES, "video", "audio")
"""The kinds of fields that are files."""

USUAL = (
    "negative_prompt", "width", "height", "num_inference_steps", "guidance_scale", "strength",
)  # fmt: skip
"""The names of the fields that are always in view, after the inputs of the task; the others are
behind *More settings*."""

LABELS: Mapping[str, str] = {"num_inference_steps": "Steps"}
"""The labels that aren't the name of their field."""

_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "flag"}
_OF_TASKS = {"label": "text", "value": "json"}


@dataclass(frozen=True)
class Field:
    """A field of a request.

    Attributes:
        name: its key in the request.
        kind: `text`, `integer`, `number`, `flag`, `choice`, `json`, or one of `FILES`.
        help: one sentence.
        default: its value if it isn't given; None if there is none.
        least, most: the bounds of numbers.
        choices: the values of a choice.
        required: whether a request needs it.
        usual: whether it is always in view.
    """

    name: str
    kind: str
    help: str = ""
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    usual: bool = False

    @property
    def label(self) -> str:
        """What it is called."""
        return LABELS.get(self.name) or self.name.replace("_", " ").capitalize()

    def value(self, given: Any) -> Any:
        """Return what a user entered as a request takes it; None for nothing.

        Raises:
            ValueError: if it is not valid; the text is a sentence for users.
        """
        if given is None or (isinstance(given, str) and not given.strip()):
            return None
        if self.kind == "flag":
            return bool(given) if not isinstance(given, str) else given.strip().lower() == "true"
        if self.kind in ("integer", "number"):
            return self._number(given)
        if self.kind == "json" and isinstance(given, str):
            try:
                return json.loads(given)
            except (ValueError, RecursionError):
                raise ValueError(
                    f"{self.label} is not valid: write it as JSON, such as [1, 2] or "
                    f'{{"scale": 0.5}}'
                ) from None
        return given

    def _number(self, given: Any) -> int | float:
        try:
            found = float(given)
            if not math.isfinite(found):
                raise ValueError
            if self.kind == "integer":
                if found != int(found):
                    raise ValueError
                found = int(given) if isinstance(given, (int, str)) else int(found)
        except (ValueError, OverflowError, TypeError):
            kind = "a whole number" if self.kind == "integer" else "a number"
            raise ValueError(f"{self.label} is {kind}") from None
        if (self.least is not None and found < self.least) or (
            self.most is not None and found > self.most
        ):
            raise ValueError(f"{self.label} is {_bounds(self.least, self.most)}")
        return found


def fields_of(task: Mapping[str, Any]) -> list[Field]:
    """Return the fields of a task, as a server describes it: first its inputs, then the usual ones.

    Args:
        task: the task with its inputs and the JSON schema of its requests.
    """
    schema = task["schema"]
    inputs = {one["name"]: one for one in task["inputs"]}
    found = {
        name: _field(name, one, inputs.get(name), name in schema.get("required", ()))
        for name, one in schema["properties"].items()
        if name in inputs or name not in Request.model_fields
    }
    found["seed"] = Field(
        "seed", "integer", "the seed of the noise; empty for a random one", least=0, usual=True
    )
    order = [*inputs, *USUAL, "seed"]
    return sorted(found.values(), key=lambda one: _place(one.name, order))


def field_of(given: Mapping[str, Any]) -> Field:
    """Return the field of an input of an add-on or a condition, as a server describes it."""
    kind = _OF_TASKS.get(given["kind"], given["kind"])
    return Field(given["name"], kind, given.get("help", ""), required=bool(given.get("required")))


def _field(
    name: str, schema: Mapping[str, Any], given: Mapping[str, Any] | None, required: bool
) -> Field:
    kind = schema.get("kind") or (given or {}).get("kind")
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    plain: Mapping[str, Any] = next((one for one in options if one.get("type") in _TYPES), {})
    choices = next((tuple(one["enum"]) for one in options if "enum" in one), ())
    if choices and all(isinstance(one, str) for one in choices):
        kind = "choice"
    elif kind not in FILES:
        kind = _TYPES.get(plain.get("type", ""), "json")
    usual = given is not None or name in USUAL
    bounds = plain or schema
    return Field(
        name, kind, schema.get("description", ""), schema.get("default"),
        bounds.get("minimum"), bounds.get("maximum"), choices, required, usual,
    )  # fmt: skip


def _place(name: str, order: Iterable[str]) -> int:
    places = [*order]
    return places.index(name) if name in places else len(places)


def _bounds(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {most:g}"
    return f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
