"""Docstrings, comments, messages and pages contain no phrases that patterns can recognise."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    file
    for folder in (ROOT / "core/src", *ROOT.glob("plugins/*/src"))
    for file in folder.rglob("*.py")
)
PAGES = sorted(
    file
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/*.md", "changes/*.md")
    for file in ROOT.glob(pattern)
)

# "There is no folder" is fine, as is "is no longer"; "that is no folder" should be "is not a".
NEGATION = re.compile(
    r"(?<!\b[Tt]here )\b(?:is|are|was|were) (?:no|none\b(?! of\b))\b"
    r"(?! (?:longer|more|larger|smaller|earlier|later|better|different)\b)"
)
# A `Raises:` section says under which condition an error is raised.
EMPTY = re.compile(r"\b[Ii]t is so\b|: (?:it|they) (?:isn't|aren't|is not|are not)\.")


def found_in(text: str) -> list[str]:
    """Return the phrases of a text that this test refuses, with the words around them."""
    flat = " ".join(text.split())
    matches = [match for pattern in (NEGATION, EMPTY) for match in pattern.finditer(flat)]
    return [flat[max(0, match.start() - 40) : match.end() + 20] for match in matches]


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the tokens of Python source, with an f-string as one token as before Python 3.12."""
    f_string: list[str] = []
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        depth += name == "FSTRING_START"
        depth -= name == "FSTRING_END"
        if depth:
            f_string.append(token.string)
        elif name == "FSTRING_END":
            yield tokenize.STRING, "".join([*f_string, token.string])
            f_string = []
        else:
            yield token.type, token.string


def prose_of(source: str) -> Iterator[str]:
    """Yield the comments and strings of Python source; the lines of one message are joined."""
    pieces: list[str] = []
    kind = tokenize.STRING
    for token, text in texts_of(source):
        if token in (tokenize.STRING, tokenize.COMMENT):
            if token != kind:
                yield " ".join(pieces)
                pieces, kind = [], token
            pieces.append(text.lstrip("rbfRBF").strip("\"'#"))
        elif token != tokenize.NL:
            yield " ".join(pieces)
            pieces = []


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("which is no file of its own folder", True),
        ("they are no pictures", True),
        ("a name that is none", True),
        ("ArgumentError: it is so.", True),
        ("TypeError: it isn't.", True),
        ("there is no\n    such file", False),
        ("if there are none", False),
        ("it is no longer here", False),
        ("None if it is None", False),
        ("it isn't a folder", False),
    ],
)
def test_what_is_refused(text: str, is_refused: bool) -> None:
    assert bool(found_in(text)) is is_refused


def test_messages_of_several_lines_are_read_as_one() -> None:
    source = 'raise E(\n    f"{name} is "\n    f"no folder"\n)\nx = "is"  # no\n'
    assert [found for text in prose_of(source) for found in found_in(text)] == [
        "{name} is no folder"
    ]


def test_source_is_free_of_it() -> None:
    hits = {
        str(file.relative_to(ROOT)): found
        for file in SOURCES
        if (found := [p for t in prose_of(file.read_text("utf-8")) for p in found_in(t)])
    }
    assert hits == {}


def test_pages_are_free_of_it() -> None:
    hits = {
        str(file.relative_to(ROOT)): found
        for file in PAGES
        if (found := found_in(file.read_text("utf-8")))
    }
    assert hits == {}
