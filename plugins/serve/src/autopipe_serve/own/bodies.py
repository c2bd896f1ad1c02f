"""The bodies of requests."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request

from autopipe.wording import shown

from ..errors import Refusal
from ..security import FORM
from ..uploads import decoded


async def object_in(request: Request) -> dict[str, Any]:
    """Return the JSON object that is the body of a request.

    Raises:
        Refusal: if there is none.
    """
    body = await request.body()
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON, or nested too deeply") from None
    if not isinstance(found, dict):
        raise Refusal(400, f"the body must be a JSON object, not {shown(found)}")
    return found


async def file_in(request: Request) -> bytes:
    """Return the bytes of `file`, a field of a form, or of JSON in base64.

    Raises:
        Refusal: if there is none.
    """
    if request.headers.get("content-type", "").lower().startswith(FORM):
        async with request.form(max_files=1, max_fields=8) as form:
            file = form.get("file")
            if isinstance(file, UploadFile):
                return await file.read()
    else:
        text = (await object_in(request)).get("file")
        if isinstance(text, str):
            return await run_in_threadpool(decoded, text, "file")
    raise Refusal(400, "the field file is missing; send the file in it", param="file")
