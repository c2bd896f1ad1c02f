"""Cleans captions as in training: removes links, markup, file names and advertising."""

from __future__ import annotations

import html
import importlib
import importlib.util
import re
from collections.abc import Iterable
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from autopipe.wording import logger

_log = logger(__name__)

Rules: TypeAlias = tuple[tuple[re.Pattern[str], str], ...]

_PACKAGES = {"bs4": "beautifulsoup4", "ftfy": "ftfy"}
"""The packages for cleaning: import names and distributions."""

_FILES = "png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4"
_HOST = r"[a-zA-Z0-9.\-]+[.](?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b/?(?!@)"


def _rules(*rules: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rules)


_LINKS = _rules(
    ("<person>", "person"),
    *((rf"\b(?:{scheme}:(?:/{{1,3}}|[a-zA-Z0-9%])|{_HOST})", "") for scheme in ("https?", "www")),
)

_SYMBOLS = _rules(
    # Nicknames; strokes, ideographs and other signs of Chinese and Japanese.
    (r"@\w+", ""),
    ("[\u31c0-\u9fff]+", ""),
    # All kinds of dashes and quotation marks.
    (
        "[-\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0"
        "\ufe31\ufe32\ufe58\ufe63\uff0d]+",
        "-",
    ),
    ("[`´«»“”¨]", '"'),
    ("[‘’]", "'"),
    # Remains of markup.
    ("&quot;?", ""),
    ("&amp", ""),
    # IP addresses, times at the end, line breaks, long and numbered numbers, file names.
    (r"\d{1,3}(?:\.\d{1,3}){3}", " "),
    (r"\d:\d\d\s+$", ""),
    (r"\\n", " "),
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"\S+\.(?:{_FILES})", ""),
    # Advertising phrases.
    (r"[\"']{2,}", '"'),
    (r"\.{2,}", " "),
    (r"[#®•©™&@·º½¾¿¡§~()\[\]{}|\\/*]+", " "),
    (r"\s+\.\s+", " "),
)

_JOINTS = re.compile("[-_]")
_LONGEST = 5000
"""The most characters of a caption that are cleaned; far more than the text encoder reads."""

_MOST_JOINTS = 3
"""If a caption has more dashes or underscores, they are taken as word separators."""

_SHOP_TALK = _rules(
    # Article numbers, such as jc6640, jc6640vc and 6640vc231.
    (r"\b[a-zA-Z]{1,3}\d{3,15}\b", ""),
    (r"\b[a-zA-Z]+\d+[a-zA-Z]+\b", ""),
    (r"\b\d+[a-zA-Z]+\d+\b", ""),
    (r"(?:worldwide\s+)?(?:free\s+)?shipping", ""),
    (r"(?:free\s)?download(?:\sfree)?", ""),
    (r"\bclick\b\s(?:for|on)\s\w+", ""),
    (rf"\b(?:{_FILES})(?:\simages?)?", ""),
    (r"\bpage\s+\d+\b", ""),
    (r"\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b", " "),
    # Sizes, such as 10x20, with a Latin or Cyrillic letter or a multiplication sign.
    (r"\b\d+\.?\d*[xх×]\d+\.?\d*\b", ""),
    # Spaces around punctuation.
    (r"\b\s+:\s+", ": "),
    (r"(\D[,./])\b", r"\1 "),
    (r"\s+", " "),
    # Quotation marks around everything; punctuation at either end; a lone extension.
    (r"^[\"']([\w\W]+)[\"']$", r"\1"),
    (r"^['_,\-:;]", ""),
    (r"['_,\-:+]$", ""),
    (r"^\.\S+$", ""),
)


def prepare_captions(texts: Iterable[str], *, clean: bool) -> list[str]:
    """Return `texts` for the text encoder: in lower case, without surrounding spaces.

    Args:
        clean: also remove everything but descriptions. Needs the packages `beautifulsoup4` and
            `ftfy`; if one is missing, a warning is logged and nothing is removed.
    """
    if clean and can_clean():
        # Twice, because the first pass may expose more to remove.
        return [clean_caption(clean_caption(text[:_LONGEST])) for text in texts]
    return [text.lower().strip() for text in texts]


def can_clean() -> bool:
    """Whether the packages for cleaning are installed; logs a warning if not."""
    absent = [
        name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None
    ]
    if absent:
        _log.warning(
            "captions are not cleaned, because packages are not installed; run: "
            "pip install %s, or pass clean_caption=False",
            " ".join(absent),
        )
    return not absent


def clean_caption(caption: str) -> str:
    """Return `caption` after one pass of cleaning."""
    caption = _applied(_LINKS, unquote_plus(caption).strip().lower())
    caption = _package("bs4").BeautifulSoup(caption, features="html.parser").text
    caption = _applied(_SYMBOLS, caption)
    if len(_JOINTS.findall(caption)) > _MOST_JOINTS:
        caption = _JOINTS.sub(" ", caption)
    caption = html.unescape(html.unescape(_package("ftfy").fix_text(caption)))
    return _applied(_SHOP_TALK, caption).strip()


def _applied(rules: Rules, text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _package(name: str) -> Any:
    """Import an optional package."""
    return importlib.import_module(name)
