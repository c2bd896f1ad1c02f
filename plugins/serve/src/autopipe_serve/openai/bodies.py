"""Reads the bodies of requests: JSON, and forms with images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from autopipe.json_files import parse_json
from autopipe.wording import shown

from ..errors import Refusal

_MOST_FILES, _MOST_FIELDS = 32, 200
_LISTS = ("lora",)
_BRACKETS = re.compile(r"\[\d*\]$")


@dataclass(frozen=True)
class Body:
    """What a request brings.

    Attributes:
        fields: the values by name.
        files: the contents of the files by name, in the order of the form.
    """

    fields: Mapping[str, Any]
    files: Mapping[str, Sequence[bytes]]


async def read_json(request: Request) -> Body:
    """Return the body of a request in JSON.

    Raises:
        Refusal: if it is not a JSON object.
    """
    try:
        fields = parse_json(await request.body())
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not valid JSON; send a JSON object") from None
    if not isinstance(fields, dict):
        raise Refusal(400, f"the body must be a JSON object, not {shown(fields)}")
    return Body(fields, {})


async def read_form(request: Request) -> Body:
    """Return the body of a request as a form, in which `name[]` is the same as `name`.

    An empty value counts as omitted, except for the prompt.

    Raises:
        Refusal: if it is not a multipart form, or has too many parts.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise Refusal(
            400,
            f"the content type is {shown(kind)}; send a form as multipart/form-data, with the "
            f"picture as image",
        )
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    try:
        async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS) as form:
            for key, value in form.multi_items():
                name = _BRACKETS.sub("", key)
                if isinstance(value, UploadFile):
                    files.setdefault(name, []).append(await value.read())
                elif name in _LISTS:
                    fields.setdefault(name, []).append(value)
                elif value or name == "prompt":
                    fields[name] = value
    except HTTPException as error:
        raise Refusal(
            400,
            f"the form can't be read: {shown(error.detail)}; send at most {_MOST_FILES} files and "
            f"{_MOST_FIELDS} fields",
        ) from None
    return Body(fields, files)
