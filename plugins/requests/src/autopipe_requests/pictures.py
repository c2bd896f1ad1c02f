"""Texts in image and sound files: the record, and what other programs wrote there.

Where each format has them:

- PNG: text chunks `autopipe` and `parameters`, before or after the pixels.
- JPEG and WebP: XMP has the record, EXIF's user comment has `parameters`. Editors of images keep
  properties of XMP that they don't know, and programs that show captions don't show them. ComfyUI
  writes `prompt:` and `workflow:` into EXIF's make, model or description.
- GIF: the comment. WAV: the comment `ICMT` of the list `INFO`.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autopipe.errors import ArgumentError, ImageFileError, MissingPackageError
from autopipe.regular import opened
from autopipe.utils import in_mode
from autopipe.wording import cut, error_text, listed, shown

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
from .record import KEY

if TYPE_CHECKING:
    from PIL.Image import Image

PARAMETERS = "parameters"
"""The name of the text of AUTOMATIC1111's web UI, which galleries read."""

FORMATS = ("PNG", "JPEG", "WEBP")
"""The formats of `save_image`."""

_LARGEST = 1 << 32
_MOST_TEXTS = 256
_MOST_BYTES = 4 * LONGEST
_COMMENT = "comment"
_PREFIXES = ("prompt", "workflow")

# Reading


def texts_of(file: str | Path) -> dict[str, str]:
    """Return the texts of a PNG, JPEG, WebP, GIF or WAV file by name, without reading its pixels.

    Names are those of PNG's text chunks. In the other formats `autopipe` is the record,
    `parameters` that of AUTOMATIC1111's web UI, `prompt` and `workflow` those of ComfyUI, and
    `comment` is any other comment.

    Raises:
        ImageFileError: if the file is absent, damaged or of another format, or it has far more
            text than any program writes.
    """
    try:
        with opened(file, _LARGEST) as stream:
            reader = _reader_of(stream.read(16))
            if reader is None:
                raise BrokenFile("is not a PNG, JPEG, WebP, GIF or WAV file")
            return _collected(reader(stream))
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


def _reader_of(start: bytes) -> Callable[[BinaryIO], Iterator[tuple[str, str]]] | None:
    kinds = (
        (start.startswith(b"\x89PNG\r\n\x1a\n"), _of_png),
        (start.startswith(b"\xff\xd8\xff"), _of_jpeg),
        (start[:4] == b"RIFF" and start[8:12] == b"WEBP", _of_webp),
        (start[:4] == b"RIFF" and start[8:12] == b"WAVE", _of_wav),
        (start.startswith((b"GIF87a", b"GIF89a")), _of_gif),
    )
    return next((reader for fits, reader in kinds if fits), None)


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


# Writing


def save_image(
    image: Image, file: Path | BinaryIO, texts: Mapping[str, str], format: str = "PNG"
) -> None:
    """Write an image with texts: the same image and texts give the same bytes.

    WebP is lossless. JPEG has quality 95 and all of its colors' resolution; it has no room for
    `parameters` of more than about 32,000 letters, which are then left out.

    Args:
        texts: `autopipe`, the record as JSON, and `parameters`; for a PNG, others as well.
        format: one of `FORMATS`.

    Raises:
        ArgumentError: for another format, or a text that this format has no place for.
        MissingPackageError: if the installed Pillow can't write WebP.
        OSError: if the file can't be written.
    """
    if format not in FORMATS:
        raise ArgumentError(f"images are written as {listed(FORMATS)}, not as {shown(format)}")
    if format == "PNG":
        image.save(file, format="PNG", pnginfo=_png_texts(texts))
        return
    if other := sorted(texts.keys() - {KEY, PARAMETERS}):
        raise ArgumentError(
            f"a {format} file has a place for {KEY} and {PARAMETERS} only, not for "
            f"{listed(other)}; leave them out, or write a PNG"
        )
    comment = exif.with_comment(texts[PARAMETERS]) if PARAMETERS in texts else b""
    if format == "WEBP":
        _save_webp(image, file, comment, xmp.packet(texts[KEY]) if KEY in texts else b"")
    else:
        content = _jpeg_of(image, comment, xmp.jpeg_segments_of(texts[KEY]) if KEY in texts else [])
        if isinstance(file, Path):
            file.write_bytes(content)
        else:
            file.write(content)


def _png_texts(texts: Mapping[str, str]) -> Any:
    from PIL.PngImagePlugin import PngInfo

    found = PngInfo()
    for name, text in texts.items():
        text = text.replace("\0", "").encode("utf-8", "replace").decode()
        found.add_text(name, text) if _is_latin(text) else found.add_itxt(name, text)
    return found


def _is_latin(text: str) -> bool:
    try:
        return bool(text.encode("latin-1")) or not text
    except UnicodeEncodeError:
        return False


def _save_webp(image: Image, file: Path | BinaryIO, comment: bytes, packet: bytes) -> None:
    from PIL import features

    if not features.check("webp"):
        raise MissingPackageError(
            "this Pillow was built without WebP; write a PNG, or install Pillow with 'pip install "
            "--force-reinstall pillow'"
        )
    if image.mode not in ("RGB", "RGBA"):
        image = in_mode(image, "RGB")
    image.save(file, format="WEBP", lossless=True, exact=True, exif=comment, xmp=packet)


def _jpeg_of(image: Image, comment: bytes, packets: list[bytes]) -> bytes:
    """Return a JPEG with the segments after its head, where readers look for them first."""
    target = io.BytesIO()
    if image.mode not in ("RGB", "L"):
        image = in_mode(image, "RGB")
    image.save(target, format="JPEG", quality=95, subsampling=0)
    content = target.getvalue()
    contents = [exif.PREFIX + comment, *packets] if comment else packets
    segments = [
        b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one
        for one in contents
        if len(one) <= xmp.LONGEST_SEGMENT
    ]
    # The beginning of the image and the segment JFIF come first.
    head = 2 + 2 + struct.unpack_from(">H", content, 4)[0] if content[3] == 0xE0 else 2
    return b"".join([content[:head], *segments, content[head:]])


def add_to_wav(file: Path, texts: Mapping[str, str]) -> None:
    """Add the record to a WAV file, as the comment in a list at its end.

    Raises:
        ImageFileError: if it isn't a WAV file.
        OSError: if the file can't be written.
    """
    text = texts[KEY].encode("utf-8", "replace") + b"\0"
    text += bytes(len(text) % 2)
    content = b"INFOICMT" + struct.pack("<I", len(text)) + text
    with file.open("r+b") as stream:
        start = stream.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise ImageFileError(f"{shown(str(file))} is not a WAV file; write it before its texts")
        end = stream.seek(0, os.SEEK_END)
        stream.write(bytes(end % 2) + b"LIST" + struct.pack("<I", len(content)) + content)
        size = stream.tell() - 8
        stream.seek(4)
        stream.write(struct.pack("<I", size))
