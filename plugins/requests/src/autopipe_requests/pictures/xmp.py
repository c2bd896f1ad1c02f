"""The record in XMP, which editors of images keep even if they don't know the property.

In a JPEG, a packet of more than 64 KB is split into segments of extended XMP.

Source: ISO 16684-1:2019 (XMP, part 1) and Adobe's XMP specification, part 3 (2020), 1.1.3.1.
"""

from __future__ import annotations

import hashlib
import html
import re
import struct
from xml.sax.saxutils import escape

NAMESPACE = "urn:autopipe:record/1/"
STANDARD = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
"""What the segments of a JPEG begin with."""

LONGEST_SEGMENT = 65_533
"""The longest content of a segment of a JPEG, in bytes."""

_HEAD = len(EXTENDED) + 32 + 8
_PIECE = LONGEST_SEGMENT - _HEAD

_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">{}</x:xmpmeta><?xpacket end="r"?>'
)
_RDF = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:{prefix}="{namespace}">'
    "<{prefix}:{name}>{value}</{prefix}:{name}></rdf:Description></rdf:RDF>"
)
_NOTE = {
    "prefix": "xmpNote",
    "namespace": "http://ns.adobe.com/xmp/note/",
    "name": "HasExtendedXMP",
}

# No XML parser reads what strangers wrote: a document of a few lines can take all memory.
_PREFIX = re.compile(rf"xmlns:([\w.-]{{1,40}})\s{{0,9}}=\s{{0,9}}[\"']{re.escape(NAMESPACE)}[\"']")
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def packet(record: str) -> bytes:
    """Return an XMP packet with `record`, which is JSON.

    Characters that XML can't have are written as JSON escapes, which mean the same.
    """
    return _PACKET.format(_record(record)).encode()


def jpeg_segments_of(record: str) -> list[bytes]:
    """Return the contents of the APP1 segments of a JPEG with `record`, which is JSON."""
    whole = packet(record)
    if len(STANDARD) + len(whole) <= LONGEST_SEGMENT:
        return [STANDARD + whole]
    rest = _record(record).encode()
    name = hashlib.md5(rest, usedforsecurity=False).hexdigest().upper()
    note = _PACKET.format(_RDF.format(**_NOTE, value=name)).encode()
    pieces = [
        EXTENDED + name.encode() + struct.pack(">II", len(rest), at) + rest[at : at + _PIECE]
        for at in range(0, len(rest), _PIECE)
    ]
    return [STANDARD + note, *pieces]


def joined(segments: list[bytes]) -> bytes:
    """Return the extended XMP of its segments, in the order of their places."""
    places = []
    for segment in segments:
        if len(segment) >= _HEAD:
            places.append((struct.unpack_from(">I", segment, _HEAD - 4)[0], segment[_HEAD:]))
    return b"".join(piece for _, piece in sorted(places))


def record_in(data: bytes) -> str | None:
    """Return the record in XMP, or None. Other programs may have written it as an attribute."""
    text = data.decode("utf-8", "replace")
    found = _PREFIX.search(text)
    if found is None:
        return None
    name = f"{found[1]}:record"
    for opening, closing in ((f"<{name}>", f"</{name}>"), (f'{name}="', '"'), (f"{name}='", "'")):
        start = text.find(opening)
        end = text.find(closing, start + len(opening))
        if start >= 0 and end >= 0:
            return html.unescape(text[start + len(opening) : end])
    return None


def _record(record: str) -> str:
    value = escape(_NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", record))
    return _RDF.format(prefix="autopipe", namespace=NAMESPACE, name="record", value=value)
