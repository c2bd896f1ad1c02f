"""`autopipe show`: prints the settings that are in pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from autopipe.cli.command import Run, explain
from autopipe.cli.text import as_json as json_of
from autopipe.cli.text import paragraph, say
from autopipe.errors import AutopipeError
from autopipe.wording import clean, cut, error_text

from ..foreign import Foreign, foreign_of
from ..pictures import texts_of
from ..record import KEY, Record, scheduler_text, settings

ABOUT = (
    "Show the settings that are in pictures: those of autopipe, and those of AUTOMATIC1111's web "
    "UI, Forge, Civitai, InvokeAI and ComfyUI, with what autopipe would not take over or can't "
    "reproduce. PNG, JPEG, WebP, GIF and WAV files are read. Exit code 1 if a file has no "
    "settings, 2 if one can't be read, else 0."
)
EXAMPLES = (
    "autopipe show circle.png",
    "autopipe show *.png --json",
)

_LONGEST = 20_000
_NONE = "has no settings that are known here"


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a picture, or a sound")
    parser.add_argument("--json", action="store_true", help="print JSON, with every text as it is")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the settings of each file; return 1 if one has none, 2 if one can't be read."""
    found = [settings_in(file) for file in arguments.files]
    if arguments.json:
        say(json_of(found))
    else:
        shown = [one for one in found if "error" not in one]
        named = len(found) > 1
        say("\n\n".join(_as_text(one, named=named) for one in shown), end="\n" if shown else "")
        for one in found:
            if "error" in one:
                say(f"autopipe: {one['error']}", error=True)
    return max(int(one.get("code", 0)) for one in found)


def settings_in(file: str) -> dict[str, Any]:
    """Return the settings in a file, or the `error` that it has none, with the exit `code`."""
    try:
        texts = texts_of(file)
        if KEY in texts:
            record = Record.read(texts[KEY])
            program = f"autopipe {record.drawn.versions.get('autopipe-core', '')}".strip()
            return {"file": file, "program": program, "settings": settings(record)}
        found = foreign_of(texts)
    except AutopipeError as error:
        return {"file": file, "error": error_text(error), "code": 2}
    if found is None:
        return {"file": file, "error": f"{clean(cut(file), keep='')} {_NONE}", "code": 1}
    return {"file": file, "program": found.program, **_of_foreign(found)}


def _of_foreign(found: Foreign) -> dict[str, Any]:
    loras = [f"{name}:{weight:g}" for name, weight in found.loras]
    return {
        "settings": {**found.given, **found.names, **({"lora": loras} if loras else {})},
        "left": found.left,
        "differs": found.differs,
    }


def _as_text(one: Mapping[str, Any], *, named: bool) -> str:
    facts = {**({"file": one["file"]} if named else {}), "program": one["program"]}
    facts |= one["settings"]
    width = max(map(len, facts)) + 2
    lines = [_line(name, value, width) for name, value in facts.items()]
    for heading, key in (("Not taken over:", "left"), ("Not reproduced:", "differs")):
        if one.get(key):
            lines += ["", heading, *_items(one[key])]
    return "\n".join(lines)


def _line(name: str, value: Any, width: int) -> str:
    if name == "size" and isinstance(value, tuple):
        value = "x".join(map(str, value))
    elif name == "scheduler" and isinstance(value, dict):
        value = scheduler_text(**value)
    elif isinstance(value, list):
        value = ", ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value)
    text = cut(text, _LONGEST)
    return paragraph(text or "nothing", " " * width, first=clean(name, keep="").ljust(width))


def _items(sentences: Sequence[str]) -> list[str]:
    return [paragraph(sentence, "  ", first="- ") for sentence in sentences]
