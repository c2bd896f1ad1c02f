"""Finds the parts of image and sound files that can have text, without reading pixels.

The formats are lists of parts with a length each, so a reader passes over what it doesn't need. A
file comes from anywhere: every length is checked before memory is taken, and the number of parts is
limited.

Sources: PNG, third edition (W3C 2025); JPEG, ITU-T T.81, annex B; the WebP container (Google);
GIF89a (CompuServe 1990); for RIFF, Multimedia Programming Interface and Data Specifications 1.0
(IBM and Microsoft 1991).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

LONGEST = 1 << 24
"""The longest part that is read, and the longest text, in bytes."""

_MOST_PARTS = 100_000
"""The most parts of a file; one of 800 MB that is written in the usual blocks has fewer."""


class BrokenFile(Exception):
    """The file isn't what its format demands; the text is a clause about it."""


def exactly(stream: BinaryIO, count: int) -> bytes:
    """Return the next `count` bytes.

    Raises:
        BrokenFile: if there are fewer, or `count` is more than `LONGEST`.
    """
    if count > LONGEST:
        raise BrokenFile(f"has a text of {count:,} bytes, where at most {LONGEST:,} are read")
    found = stream.read(count)
    if len(found) < count:
        raise BrokenFile("ends too early")
    return found


def inflated(data: bytes) -> bytes:
    """Return data that zlib compressed.

    Raises:
        BrokenFile: if it is damaged, or has more than `LONGEST` bytes.
    """
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(data, LONGEST + 1)
    except zlib.error:
        raise BrokenFile("has a damaged compressed text") from None
    if len(found) > LONGEST:
        raise BrokenFile(f"has a compressed text of more than {LONGEST:,} bytes")
    if not machine.eof:
        raise BrokenFile("has a damaged compressed text")
    return found


def png_chunks(stream: BinaryIO, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and content of each `wanted` chunk of a PNG, also of those after the pixels.

    Raises:
        BrokenFile: if a chunk is not complete, or its checksum is wrong.
    """
    end = _size_of(stream)
    stream.seek(8)
    for _ in range(_MOST_PARTS):
        length, kind = struct.unpack(">I4s", exactly(stream, 8))
        if kind in wanted:
            content = exactly(stream, length)
            (checksum,) = struct.unpack(">I", exactly(stream, 4))
            if zlib.crc32(content, zlib.crc32(kind)) != checksum:
                raise BrokenFile("has a damaged text")
            yield kind, content
        else:
            _skip(stream, length + 4, end)
        if kind == b"IEND":
            return
    raise BrokenFile(f"has more than {_MOST_PARTS:,} parts")


def jpeg_segments(stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and content of each `wanted` segment of a JPEG before the pixels.

    Raises:
        BrokenFile: if a segment is not complete.
    """
    end = _size_of(stream)
    stream.seek(2)
    for _ in range(_MOST_PARTS):
        before, marker = exactly(stream, 2)
        while marker == 0xFF:
            (marker,) = exactly(stream, 1)
        if before != 0xFF:
            raise BrokenFile("has something else where a segment should begin")
        if marker in (0xD9, 0xDA):
            return
        if marker == 1 or 0xD0 <= marker <= 0xD7:
            continue
        (length,) = struct.unpack(">H", exactly(stream, 2))
        if length < 2:
            raise BrokenFile("has a segment of a negative length")
        if marker in wanted:
            yield marker, exactly(stream, length - 2)
        else:
            _skip(stream, length - 2, end)
    raise BrokenFile(f"has more than {_MOST_PARTS:,} parts")


def riff_chunks(stream: BinaryIO, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and content of each `wanted` chunk of a RIFF file, such as WebP or WAV.

    Raises:
        BrokenFile: if a chunk is not complete.
    """
    end = _size_of(stream)
    stream.seek(12)
    for _ in range(_MOST_PARTS):
        if stream.tell() + 8 > end:
            return
        kind, length = struct.unpack("<4sI", exactly(stream, 8))
        if kind in wanted:
            yield kind, exactly(stream, length)
        else:
            _skip(stream, length, end)
        if length % 2 and stream.tell() < end:
            stream.seek(1, os.SEEK_CUR)
    raise BrokenFile(f"has more than {_MOST_PARTS:,} parts")


def gif_comments(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the comments of a GIF.

    Raises:
        BrokenFile: if it is not complete.
    """
    stream.seek(6)
    _skip_colors(stream, exactly(stream, 7)[4])
    for _ in range(_MOST_PARTS):
        (kind,) = exactly(stream, 1)
        if kind == 0x3B:
            return
        if kind == 0x21:
            (label,) = exactly(stream, 1)
            blocks = _gif_blocks(stream, keep=label == 0xFE)
            if label == 0xFE:
                yield blocks
        elif kind == 0x2C:
            _skip_colors(stream, exactly(stream, 9)[8])
            exactly(stream, 1)
            _gif_blocks(stream, keep=False)
        else:
            raise BrokenFile("has something else where a block should begin")
    raise BrokenFile(f"has more than {_MOST_PARTS:,} parts")


def _gif_blocks(stream: BinaryIO, *, keep: bool) -> bytes:
    found = bytearray()
    while count := exactly(stream, 1)[0]:
        block = exactly(stream, count)
        if keep:
            found += block
        if len(found) > LONGEST:
            raise BrokenFile(f"has a comment of more than {LONGEST:,} bytes")
    return bytes(found)


def _skip_colors(stream: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        exactly(stream, 3 << ((flags & 7) + 1))


def _skip(stream: BinaryIO, count: int, end: int) -> None:
    if stream.tell() + count > end:
        raise BrokenFile("ends too early")
    stream.seek(count, os.SEEK_CUR)


def _size_of(stream: BinaryIO) -> int:
    return stream.seek(0, os.SEEK_END)
