"""The record in a written result: its request, and how it was drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from autopipe.errors import ArgumentError
from autopipe.json_files import parse_json
from autopipe.wording import cut, shown

from .request import Addition, Data, Request

KEY = "autopipe"
"""The name of the text field of a PNG that has the record as JSON."""

LONGEST = 1 << 22
"""The longest record that is read, in characters."""

_FORMAT = 1


class Circumstances(Data):
    """What can change the last bits of a result, or explains it, but isn't asked for.

    Attributes:
        pipeline: the pipeline class.
        device: the type of device, such as `cpu` or `cuda`.
        processor: the name of the processor or accelerator.
        instructions: the instructions that torch uses on a CPU, such as `AVX512`.
        threads: the number of threads of torch on a CPU.
        dtype: the dtype of the weights.
        versions: the versions of the packages that drew, by name.
        rows: the number of results that were drawn in one call.
        row: the place of this one among them, from 0.
        listed: whether that call had a list of prompts, not one prompt several times.
        used: settings that the pipeline chose, such as its number of steps and its scheduler.
    """

    pipeline: str
    device: str
    processor: str
    instructions: str = ""
    threads: int = Field(default=0, ge=0)
    dtype: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    rows: int = Field(default=1, ge=1)
    row: int = Field(default=0, ge=0)
    listed: bool = False
    used: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_call(self) -> Circumstances:
        if self.row >= self.rows:
            raise ValueError("row is less than rows")
        return self


class Record(Data):
    """The record of one result.

    Attributes:
        format: the number of this format.
        id: the id of the request.
        request: the request.
        drawn: how it was drawn.
    """

    format: Literal[1] = 1
    id: str
    request: Request
    drawn: Circumstances

    def shareable(self) -> Record:
        """Return the record as it is written into files; see `Request.shareable`."""
        return self.model_copy(update={"request": self.request.shareable()})

    def text(self) -> str:
        """Return the record as JSON on one line, in printable ASCII characters."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(data, separators=(",", ":")).replace("\x7f", "\\u007f")

    @classmethod
    def read(cls, text: str) -> Record:
        """Return the record in `text`.

        Raises:
            ArgumentError: if it is not valid, of a newer format, or its id is not that of its
                request; the message says why.
        """
        if len(text) > LONGEST:
            raise ArgumentError(
                f"a record of {len(text):,} characters is too long; at most {LONGEST:,} are read"
            )
        try:
            data = parse_json(text.encode())
        except (ValueError, RecursionError):
            raise ArgumentError(f"the record is not JSON: {shown(text)}") from None
        if not isinstance(data, dict):
            raise ArgumentError(f"the record must be a JSON object, not {shown(data)}")
        if isinstance(sheet := data.get("sheet"), list):
            raise ArgumentError(
                f"this is a contact sheet of {len(sheet)} results; give the file of one of them"
            )
        number = data.get("format", _FORMAT)
        if isinstance(number, int) and number > _FORMAT:
            raise ArgumentError(
                f"the record has format {shown(number)}, of a newer version; this one reads "
                f"{_FORMAT}. Update autopipe-requests"
            )
        try:
            record = cls.model_validate(data)
            record.text()  # It raises for texts that can't be encoded.
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"the record is not valid: {_wrong(error)}") from None
        if record.id != record.request.id:
            raise ArgumentError(
                f"the record was changed after it was written: its id is {shown(record.id)}, but "
                f"that of its request is {record.request.id}. Its settings may not be those of "
                f"the picture, so give them yourself"
            )
        return record


def _wrong(error: Exception) -> str:
    """Return the place and the text of the first error."""
    if not isinstance(error, ValidationError):
        return "it is nested too deeply, or has texts that can't be encoded"
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{cut(place) or 'it'}: {cut(first['msg'])}, not {shown(first['input'])}"


def settings(record: Record) -> dict[str, Any]:
    """Return the settings of a record for people, in the order of the command line's options.

    Settings that the pipeline chose are included; those that are not used are left out.
    """
    request, drawn = record.request, record.drawn
    chosen = {**drawn.used, **request.arguments}
    checkpoint = request.checkpoint
    scheduler = request.scheduler
    width, height = chosen.pop("width", None), chosen.pop("height", None)
    size = request.size or ((width, height) if width and height else None)
    used = chosen.pop("scheduler", None)
    first = {name: chosen.pop(argument, None) for name, argument in _OPTIONS.items()}
    prompt = first.pop("prompt")
    found: dict[str, Any] = {
        "prompt": prompt,
        "model": checkpoint.name,
        "upscale": [stage.checkpoint.name for stage in request.upscale],
        "task": request.task,
        **first,
        "size": f"{size[0]}x{size[1]}" if size else None,
        "seed": request.seed,
        "scheduler": used
        if scheduler is None
        else scheduler_text(scheduler.name, scheduler.config),
        **{name: _file_or_value(value) for name, value in chosen.items()},
        **{name: getattr(one, "name", one) for name, one in request.conditions.items()},
        **{name: one for name, one in request.stages.items() if name not in drawn.used},
        "attach": [_addition(one) for one in request.addons],
        "engine": request.engine,
        "revision": checkpoint.commit,
        "config": checkpoint.config,
        "variant": checkpoint.variant,
        "dtype": checkpoint.dtype or drawn.dtype,
        "class": drawn.pipeline,
        "device": drawn.device,
        "processor": drawn.processor,
        "instructions": drawn.instructions,
        "threads": drawn.threads or None,
        **drawn.versions,
        "id": record.id,
    }
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


_OPTIONS = {
    "prompt": "prompt",
    "negative": "negative_prompt",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "strength": "strength",
}
"""Options of the command line by the arguments of calls that they set."""


def scheduler_text(name: str, config: Mapping[str, JsonValue]) -> str:
    """Return a scheduler for people, as in `EulerDiscreteScheduler (use_karras_sigmas=true)`."""
    inside = ", ".join(f"{key}={json.dumps(value)}" for key, value in config.items())
    return f"{name} ({inside})" if inside else name


def _addition(one: Addition) -> str:
    source = "" if one.source is None else f"={one.source}"
    strength = "" if one.strength == 1 else f":{json.dumps(one.strength)}"
    return f"{one.addon}{source}{strength}"


def _file_or_value(value: JsonValue) -> JsonValue:
    """Return the path of a file, or the value itself."""
    return value["file"] if isinstance(value, dict) and "file" in value else value
