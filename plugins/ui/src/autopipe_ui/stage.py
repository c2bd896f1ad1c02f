"""The stage: the part of the page that shows what is being drawn, and what is wrong, as HTML."""

from __future__ import annotations

import re
from html import escape

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


def idle(text: str = "") -> str:
    """Return the stage while nothing is drawn, with a sentence, or out of view."""
    hidden = "" if text else " hidden"
    return f'<div class="stage idle" role="status"{hidden}><p>{escape(text)}</p></div>'


def problem(text: str) -> str:
    """Return the stage with what is wrong."""
    sentence = escape(text[:1].upper() + text[1:])
    return f'<div class="stage problem" role="alert"><p>{sentence}</p></div>'


def drawing(text: str, part: float, preview: str | None = None) -> str:
    """Return the stage while something is drawn.

    Args:
        text: how far it is.
        part: the finished part, from 0 to 1.
        preview: the image so far, as a PNG in base64, or None.
    """
    image = ""
    if preview and _BASE64.fullmatch(preview):
        image = f'<img alt="The picture so far" src="data:image/png;base64,{preview}">'
    return (
        f'<div class="stage drawing" role="status" aria-busy="true">'
        f'<progress max="1" value="{part:.4f}" aria-label="Progress"></progress>'
        f"<p>{escape(text)}</p>{image}</div>"
    )
