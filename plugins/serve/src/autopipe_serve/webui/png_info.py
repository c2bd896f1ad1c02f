"""The settings in an image, for `png-info`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from autopipe_requests.foreign.infotext import split
from autopipe_requests.pictures import PARAMETERS, texts_of

from ..errors import Refusal
from ..uploads import decoded


def read(image: str) -> dict[str, Any]:
    """Return the settings in an image, whatever program wrote them, without decoding its pixels.

    `info` has `parameters` as they stand there, `parameters` their values by name, and `items` all
    other texts.

    Args:
        image: a file in base64.

    Raises:
        AutopipeError: if it isn't an image of a known format, or is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="autopipe-upload-") as folder:
        file = Path(folder) / "image"
        file.write_bytes(decoded(image))
        try:
            items = texts_of(file)
        except OSError as error:
            # The path is none of the client's business.
            text = str(error).replace(str(file), "image").replace("'image'", "image")
            raise Refusal(400, text, param="image") from None
    about = items.pop(PARAMETERS, "")
    positive, negative, pairs = split(about)
    settings: dict[str, Any] = {"Prompt": positive, "Negative prompt": negative, **pairs}
    width, _, height = pairs.get("Size", "").partition("x")
    if height:
        settings |= {"Size-1": width, "Size-2": height}
    return {"info": about, "items": items, "parameters": settings if about else {}}
