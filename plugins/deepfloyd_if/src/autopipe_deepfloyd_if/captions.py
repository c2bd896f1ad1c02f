"""Captions as the model was trained on them: without links, markup, file names and shop talk."""

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
"""What cleaning needs: import names, and what to install."""

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
    # What is left of markup.
    ("&quot;?", ""),
    ("&amp", ""),
    # Addresses of computers, times at the end, line breaks, long and numbered numbers, files.
    (r"\d{1,3}(?:\.\d{1,3}){3}", " "),
    (r"\d:\d\d\s+$", ""),
    (r"\\n", " "),
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"\S+\.(?:{_FILES})", ""),
    # Shouting.
    (r"[\"']{2,}", '"'),
    (r"\.{2,}", " "),
    (r"[#®•©™&@·º½¾¿¡§~()\[\]{}|\\/*]+", " "),
    (r"\s+\.\s+", " "),
)

_JOINTS = re.compile("[-_]")
_LONGEST = 5000
"""Characters of a caption that are cleaned: many times what is read of it."""

_MOST_JOINTS = 3
"""With more of them, the words of a caption are joined by dashes or underscores throughout."""

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
    # Sizes, such as 10x20; the signs between are Latin, Cyrillic and that of multiplication.
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
    """`texts` as the text encoder is to read them: in lower case, without outer spaces.

    Args:
        clean: also take out what is not description. Needs the packages `beautifulsoup4` and
            `ftfy`; where one is absent there is a warning, and no cleaning.
    """
    if clean and can_clean():
        # Twice, since what the first pass takes out may lay bare more.
        return [clean_caption(clean_caption(text[:_LONGEST])) for text in texts]
    return [text.lower().strip() for text in texts]


def can_clean() -> bool:
    """Whether the packages for cleaning are installed; a warning where they are not."""
    absent = [
        name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None
    ]
    if absent:
        _log.warning(
            "captions are not cleaned, since that needs packages that are not installed: "
            "pip install %s, or pass clean_caption=False",
            " ".join(absent),
        )
    return not absent


def clean_caption(caption: str) -> str:
    """`caption` after one pass of cleaning."""
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
    """An optional package, imported when it is needed."""
    return importlib.import_module(name)
