"""Pictures on disk: PNG files that know how they were made."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageFileError

if TYPE_CHECKING:
    from PIL.Image import Image


def write_png(image: Image, path: Path, settings: Mapping[str, Any]) -> None:
    """Write `image` with `settings` as its text fields, whole or not at all.

    A file that is there is replaced; folders that are missing are made.

    Raises:
        ImageFileError: the file system refuses.
    """
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for key, value in settings.items():
        text.add_text(key, str(value))
    target = Path(os.path.realpath(path))
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            image.save(unfinished, format="PNG", pnginfo=text)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ImageFileError(f"{str(path)!r} can't be written: {reason}") from error


def contact_sheet(images: Sequence[Image]) -> Image:
    """All `images` in one picture, in rows as long as there are columns, white where none is."""
    import PIL.Image

    from ..utils import make_image_grid

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    blank = PIL.Image.new("RGB", images[0].size, "white")
    return make_image_grid(
        [*images, *[blank] * (rows * columns - len(images))], rows=rows, cols=columns
    )
