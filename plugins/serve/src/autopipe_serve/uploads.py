"""Files that clients send: checked, and kept in a folder for as long as a request needs them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import io
import re
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import PIL.Image
import PIL.ImageOps

from autopipe.wording import shown
from autopipe_requests.inputs import is_address

from .addresses import fetch
from .errors import Refusal
from .settings import Settings
from .studio import Ticket

FORMATS: Mapping[str, tuple[bytes, str]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n", ".png"),
    "JPEG": (b"\xff\xd8\xff", ".jpg"),
    "WEBP": (b"RIFF....WEBP", ".webp"),
    "GIF": (b"GIF8[79]a", ".gif"),
    "BMP": (b"BM", ".bmp"),
}
"""The formats of images that are taken: how a file begins, as a pattern, and its suffix."""

_SOUND = b"RIFF....WAVE"
_ORIENTATION = 0x0112
_DATA = re.compile(r"data:[\w.+-]{0,80}(?:/[\w.+-]{0,80})?(?:;[\w.+=-]{0,80}){0,4},", re.ASCII)
_DECODERS = threading.BoundedSemaphore(4)
"""Decoding takes four bytes for each pixel, so that only a few images are decoded at a time."""


class Uploads:
    """The files of one request, in a temporary folder.

    A context manager, which removes them. Its methods block, so call them in a thread.

    Args:
        settings: the settings of the server.

    Attributes:
        folder: the folder, for `Studio.complete`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="autopipe-upload-"))
        self._closing: asyncio.Task[None] | None = None

    def __enter__(self) -> Uploads:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close_after(self, ticket: Ticket) -> None:
        """Remove the files when a ticket is finished; call it in the event loop."""

        async def close() -> None:
            try:
                await ticket.finished()
            finally:
                self.close()

        self._closing = asyncio.ensure_future(close())
        _CLOSING.add(self._closing)
        self._closing.add_done_callback(_CLOSING.discard)

    def add(self, content: bytes, name: str = "image", kind: str = "image") -> str:
        """Write a file, and return its name in the folder, by which a request names it.

        Args:
            content: the bytes, of any type that is taken, whatever the client calls it.
            name: the field that the client sent it in, for messages.
            kind: `image`, `mask`, `video` or `audio`; see `checked`.

        Raises:
            Refusal: as for `checked`.
        """
        content, suffix = checked(content, self._settings.limits.upload, name, kind)
        file = f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        (self.folder / file).write_bytes(content)
        return file

    def add_text(self, text: str, name: str = "image", kind: str = "image") -> str:
        """Write a file that is given as base64, as a `data:` URI, or, where allowed, as an address.

        Raises:
            Refusal: if it is none of these, or the address is not allowed or can't be fetched; and
                as for `checked`.
        """
        return self.add(self._content(text, name), name, kind)

    def _content(self, text: str, name: str) -> bytes:
        if not is_address(text):
            return decoded(text, name)
        if not self._settings.allow_addresses:
            raise Refusal(
                400,
                f"{name} is an address, and this server fetches none; send the file as base64",
                param=name,
            )
        return fetch(text, self._settings.limits.body, name)


_CLOSING: set[asyncio.Task[None]] = set()
"""The event loop itself keeps no reference to its tasks."""


def decoded(text: str, name: str = "image") -> bytes:
    """Return the bytes of base64, with or without the head of a `data:` URI, spaces and padding.

    Raises:
        Refusal: if it is not base64.
    """
    if text[:5].lower() == "data:":
        head = _DATA.match(f"data:{text[5:512]}")
        if head is None or ";base64" not in head[0].lower():
            raise Refusal(
                400, f"{name} is a data: URI without base64; write data:image/png;base64,...",
                param=name,
            )  # fmt: skip
        text = text[head.end() :]
    plain = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        found = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise Refusal(
            400, f"{name} is not a file in base64: {shown(text, 40)}; send the file's bytes as "
            f"base64", param=name,
        )  # fmt: skip
    return found


def checked(
    content: bytes, most: int, name: str = "image", kind: str = "image"
) -> tuple[bytes, str]:
    """Return the bytes of a file that is safe to open, and its suffix.

    Images and masks are PNG, JPEG, WebP, GIF or BMP files, recognized by their content. Their size
    is checked before they are decoded, which shows whether they are complete. One that its EXIF
    data turns is written upright as PNG; the bytes of others are kept, with their alpha channel. A
    video is a GIF, WebP or PNG file, of which the first frame is decoded; a sound is a WAV file.

    Args:
        most: the most pixels of an image, and of a frame.
        name: the field that the client sent it in, for messages.
        kind: `image`, `mask`, `video` or `audio`.

    Raises:
        Refusal: if it is of another type (415), has too many pixels (413), or is damaged (400).
    """
    if kind == "audio":
        if re.match(_SOUND, content, re.DOTALL) is None:
            raise Refusal(415, f"{name} is not a WAV file; convert it to WAV", param=name)
        return content, ".wav"
    taken = [one for one in FORMATS if kind != "video" or one in ("GIF", "WEBP", "PNG")]
    starts = (one for one in taken if re.match(FORMATS[one][0], content, re.DOTALL))
    format = next(starts, None)
    if format is None:
        what = f"{', '.join(taken[:-1])} or {taken[-1]}"
        raise Refusal(
            415, f"{name} is not a {what} file, whatever its name says; convert it to one",
            param=name,
        )  # fmt: skip
    with _DECODERS:
        upright = _decoded(content, format, most, name)
    return (content, FORMATS[format][1]) if upright is None else (upright, ".png")


def _decoded(content: bytes, format: str, most: int, name: str) -> bytes | None:
    """Decode an image; return a PNG of it if it must be turned."""
    try:
        # Formats of several frames are seen as their first one.
        with PIL.Image.open(io.BytesIO(content), formats=[format]) as picture:
            width, height = picture.size
            if width * height > most:
                raise _too_large(name, f"{width}x{height} pixels", most)
            picture.load()
            if picture.getexif().get(_ORIENTATION, 1) == 1:
                return None
            turned = PIL.ImageOps.exif_transpose(picture)
            file = io.BytesIO()
            (turned.convert("RGB") if turned.mode == "CMYK" else turned).save(file, "PNG")
            return file.getvalue()
    except Refusal:
        raise
    except PIL.Image.DecompressionBombError:
        raise _too_large(name, "far too many pixels", most) from None
    except Exception:  # Pillow's readers raise many kinds of exceptions
        raise Refusal(
            400, f"{name} is a damaged or incomplete {format} file; save it again", param=name
        ) from None


def _too_large(name: str, what: str, most: int) -> Refusal:
    return Refusal(
        413, f"{name} has {what}, and at most {most:,} are taken; make it smaller", param=name
    )
