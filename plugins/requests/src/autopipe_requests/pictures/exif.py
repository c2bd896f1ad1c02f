"""The texts of EXIF data that programs for generated images use.

Source: CIPA DC-008-2019 (EXIF 2.32) and the TIFF 6.0 specification (Adobe 1992).
"""

from __future__ import annotations

import struct

from .containers import BrokenFile

USER_COMMENT = 0x9286
DESCRIPTION, MAKE, MODEL = 0x010E, 0x010F, 0x0110
PREFIX = b"Exif\0\0"
"""What EXIF data begins with in a JPEG."""

_EXIF_PART = 0x8769
_TEXT, _LONG, _UNDEFINED = 2, 4, 7
_SIZES = {
    1: 1,
    _TEXT: 1,
    3: 2,
    _LONG: 4,
    5: 8,
    6: 1,
    _UNDEFINED: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
}
_UNICODE = b"UNICODE\0"
_CODES = (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8))
_MOST_ENTRIES = 1000


def texts_in(data: bytes) -> dict[int, str]:
    """Return the texts of EXIF data by tag: user comment, description, make and model.

    Raises:
        BrokenFile: if the data is damaged.
    """
    data = data.removeprefix(PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise BrokenFile("has damaged EXIF data")
    try:
        main = _entries(data, struct.unpack_from(f"{order}I", data, 4)[0], order)
        inner = {}
        if len(place := main.get(_EXIF_PART, b"")) == 4:
            inner = _entries(data, struct.unpack(f"{order}I", place)[0], order)
    except struct.error:
        raise BrokenFile("has damaged EXIF data") from None
    found = {tag: _text(main[tag]) for tag in (DESCRIPTION, MAKE, MODEL) if tag in main}
    if USER_COMMENT in inner:
        found[USER_COMMENT] = _comment(inner[USER_COMMENT])
    return found


def _entries(data: bytes, start: int, order: str) -> dict[int, bytes]:
    """Return the content of the entries of a directory by tag."""
    (count,) = struct.unpack_from(f"{order}H", data, start)
    found = {}
    for i in range(min(count, _MOST_ENTRIES)):
        place = start + 2 + 12 * i
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, place)
        size = _SIZES.get(kind, 0) * number
        at = place + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, place + 8)[0]
        if at + size > len(data):
            raise BrokenFile("has EXIF data that ends too early")
        if tag in (DESCRIPTION, MAKE, MODEL, USER_COMMENT, _EXIF_PART):
            found[tag] = data[at : at + size]
    return found


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode("utf-8", "replace")


def _comment(content: bytes) -> str:
    """Return a user comment, whose first 8 bytes name its encoding."""
    code, content = content[:8], content[8:]
    if code == _UNICODE:
        return _utf16(content[: len(content) // 2 * 2]).rstrip("\0")
    return _text(content if code in _CODES else code + content)


def _utf16(content: bytes) -> str:
    """Return UTF-16 of either byte order: a text has more Latin letters than letters U+xx00."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    swapped = content[1::2].count(0) > content[::2].count(0)
    return content.decode("utf-16-le" if swapped else "utf-16-be", "replace")


def with_comment(text: str) -> bytes:
    """Return EXIF data whose user comment is `text` in UTF-16, without the prefix of a JPEG.

    So AUTOMATIC1111's web UI writes and reads it.
    """
    comment = _UNICODE + text.encode("utf-16-be", "replace")
    first, second = 8, 8 + 2 + 12 + 4
    main = struct.pack(">HHHIII", 1, _EXIF_PART, _LONG, 1, second, 0)
    at = second + len(main)
    inner = struct.pack(">HHHIII", 1, USER_COMMENT, _UNDEFINED, len(comment), at, 0)
    return b"MM\0*" + struct.pack(">I", first) + main + inner + comment
