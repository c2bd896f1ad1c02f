"""Reads the texts of image and sound files, without their pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

from autopipe.errors import ImageFileError
from autopipe.regular import opened
from autopipe.wording import cut, error_text, shown

from ..record import KEY
from . import exif, xmp
from .containers import (
    LONGEST,
    BrokenFile,
    gif_comments,
    inflated,
    jpeg_segments,
    png_chunks,
    riff_chunks,
)

PARAMETERS = "parameters"
"""The name of the text of AUTOMATIC1111's web UI, which galleries read."""

_LARGEST = 1 << 32
_MOST_TEXTS = 256
_MOST_BYTES = 4 * LONGEST
_COMMENT = "comment"
_PREFIXES = ("prompt", "workflow")
_STARTS: Mapping[str, Callable[[bytes], bool]] = {
    ".png": lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"),
    ".jpg": lambda start: start.startswith(b"\xff\xd8\xff"),
    ".webp": lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    ".wav": lambda start: start[:4] == b"RIFF" and start[8:12] == b"WAVE",
    ".gif": lambda start: start.startswith((b"GIF87a", b"GIF89a")),
}
_Result = TypeVar("_Result")


def texts_of(file: str | Path) -> dict[str, str]:
    """Return the texts of a PNG, JPEG, WebP, GIF or WAV file by name, without reading its pixels.

    Names are those of PNG's text chunks. In the other formats `autopipe` is the record,
    `parameters` that of AUTOMATIC1111's web UI, `prompt` and `workflow` those of ComfyUI, and
    `comment` is any other comment.

    Raises:
        ImageFileError: if the file is absent, damaged or of another format, or it has far more
            text than any program writes.
    """
    return _read(file, lambda suffix, stream: _collected(_READERS[suffix](stream)))


def suffix_of(file: str | Path) -> str:
    """Return the usual suffix of files with such contents: one of PNG, JPEG, WebP, GIF or WAV.

    Raises:
        ImageFileError: if the file is absent or of another format.
    """
    return _read(file, lambda suffix, _: suffix)


def _read(file: str | Path, function: Callable[[str, BinaryIO], _Result]) -> _Result:
    """Return what a function makes of the suffix and the content of a file."""
    try:
        with opened(file, _LARGEST) as stream:
            start = stream.read(16)
            suffix = next((suffix for suffix, fits in _STARTS.items() if fits(start)), None)
            if suffix is None:
                raise BrokenFile("is not a PNG, JPEG, WebP, GIF or WAV file")
            return function(suffix, stream)
    except FileNotFoundError:
        raise ImageFileError(
            f"there is no file {shown(str(file))}; give the path of an image"
        ) from None
    except OSError as error:
        reason = cut(error.strerror or error_text(error), 200)
        raise ImageFileError(f"{shown(str(file))} can't be read: {reason}") from error
    except BrokenFile as error:
        raise ImageFileError(
            f"{shown(str(file))} {error}; give the file as the program wrote it"
        ) from None


def _collected(texts: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Return the texts; of several with one name, the first."""
    found: dict[str, str] = {}
    total = 0
    for name, text in texts:
        total += len(text)
        if total > _MOST_BYTES or len(found) >= _MOST_TEXTS:
            raise BrokenFile(
                f"has more than {_MOST_TEXTS} texts, or more than {_MOST_BYTES:,} letters in them"
            )
        found.setdefault(name, text)
    return found


def _of_png(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    for kind, content in png_chunks(stream, (b"tEXt", b"zTXt", b"iTXt")):
        name, _, rest = content.partition(b"\0")
        if kind == b"tEXt":
            text = rest.decode("latin-1")
        elif kind == b"zTXt":
            text = inflated(rest[1:]).decode("latin-1")
        else:
            compressed, rest = rest[:1] == b"\1", rest[2:]
            rest = rest.partition(b"\0")[2].partition(b"\0")[2]
            text = (inflated(rest) if compressed else rest).decode("utf-8", "replace")
        yield name.decode("latin-1"), text


def _of_jpeg(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    extended = []
    for marker, content in jpeg_segments(stream, (0xE1, 0xFE)):
        if marker == 0xFE:
            yield _of_comment(content)
        elif content.startswith(exif.PREFIX):
            yield from _of_exif(content)
        elif content.startswith(xmp.STANDARD):
            yield from _of_xmp(content)
        elif content.startswith(xmp.EXTENDED):
            extended.append(content)
            if sum(map(len, extended)) > LONGEST:
                raise BrokenFile(f"has XMP of more than {LONGEST:,} bytes")
    yield from _of_xmp(xmp.joined(extended))


def _of_webp(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    for kind, content in riff_chunks(stream, (b"EXIF", b"XMP ")):
        yield from (_of_exif if kind == b"EXIF" else _of_xmp)(content)


def _of_wav(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    for _, content in riff_chunks(stream, (b"LIST",)):
        if content.startswith(b"INFO"):
            # The list has chunks of the same form, after a head of the same length as a file's.
            for _, text in riff_chunks(io.BytesIO(bytes(8) + content), (b"ICMT",)):
                yield _of_comment(text)


def _of_gif(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    yield from map(_of_comment, gif_comments(stream))


def _of_comment(content: bytes) -> tuple[str, str]:
    text = content.rstrip(b"\0").decode("utf-8", "replace")
    return (KEY if text.startswith("{") else _COMMENT), text


def _of_xmp(content: bytes) -> Iterator[tuple[str, str]]:
    record = xmp.record_in(content)
    if record is not None:
        yield KEY, record


def _of_exif(content: bytes) -> Iterator[tuple[str, str]]:
    for tag, text in exif.texts_in(content).items():
        name, colon, rest = text.partition(":")
        if tag == exif.USER_COMMENT:
            yield PARAMETERS, text
        elif colon and name.lower() in _PREFIXES:
            yield name.lower(), rest


_READERS: Mapping[str, Callable[[BinaryIO], Iterator[tuple[str, str]]]] = {
    ".png": _of_png,
    ".jpg": _of_jpeg,
    ".webp": _of_webp,
    ".wav": _of_wav,
    ".gif": _of_gif,
}
