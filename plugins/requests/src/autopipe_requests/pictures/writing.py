"""Writes images and sounds with their texts."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autopipe.errors import ArgumentError, ImageFileError, MissingPackageError
from autopipe.utils import in_mode
from autopipe.wording import listed, shown

from ..record import KEY
from . import exif, xmp
from .reading import PARAMETERS

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP")
"""The formats of `save_image`."""


def save_image(
    image: Image,
    file: Path | BinaryIO,
    texts: Mapping[str, str],
    format: str = "PNG",
    quality: int | None = None,
) -> None:
    """Write an image with texts: the same image and texts give the same bytes.

    JPEG has no room for `parameters` of more than about 32,000 letters, which are then left out. It
    keeps all of its colors' resolution.

    Args:
        texts: `autopipe`, the record as JSON, and `parameters`; for a PNG, others as well.
        format: one of `FORMATS`.
        quality: the quality of a JPEG or a lossy WebP, 0 to 100; by default, JPEG has quality 95
            and WebP is lossless. PNG always is.

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
        packet = xmp.packet(texts[KEY]) if KEY in texts else b""
        _save_webp(image, file, comment, packet, quality)
    else:
        packets = xmp.jpeg_segments_of(texts[KEY]) if KEY in texts else []
        content = _jpeg_of(image, comment, packets, 95 if quality is None else quality)
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


def _save_webp(
    image: Image, file: Path | BinaryIO, comment: bytes, packet: bytes, quality: int | None
) -> None:
    from PIL import features

    if not features.check("webp"):
        raise MissingPackageError(
            "this Pillow was built without WebP; write a PNG, or install Pillow with 'pip install "
            "--force-reinstall pillow'"
        )
    if image.mode not in ("RGB", "RGBA"):
        image = in_mode(image, "RGB")
    how: dict[str, Any] = {"lossless": True} if quality is None else {"quality": quality}
    image.save(file, format="WEBP", exact=True, exif=comment, xmp=packet, **how)


def _jpeg_of(image: Image, comment: bytes, packets: list[bytes], quality: int) -> bytes:
    """Return a JPEG with the segments after its head, where readers look for them first."""
    target = io.BytesIO()
    if image.mode not in ("RGB", "L"):
        image = in_mode(image, "RGB")
    image.save(target, format="JPEG", quality=quality, subsampling=0)
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
