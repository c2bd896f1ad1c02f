"""`autopipe inspect`: what is in a checkpoint."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from ..checkpoint.files import Weights
from ..registry import Registry, default_registry
from .checkpoint import Checkpoint, Part, declare_checkpoint, open_checkpoint, parts, tasks_of
from .command import Run, explain
from .text import paragraph, size, table

ABOUT = (
    "Show what is in a checkpoint: its components, how large they are, their dtypes, variants and "
    "files. Of a repository only the index and the headers of weights are fetched. Weights on this "
    "machine are read, for values that are no numbers; --headers leaves that out. Exit code 1 if "
    "something is missing or damaged, else 0."
)
EXAMPLES = (
    "autopipe inspect ./my-checkpoint",
    "autopipe inspect OWNER/NAME --json",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    declare_checkpoint(parser)
    parser.add_argument("--headers", action="store_true", help="read no weights, only headers")
    parser.add_argument("--json", action="store_true", help="print JSON, with every file")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the content; 1 if something is wrong with it."""
    registry = default_registry()
    checkpoint = open_checkpoint(arguments.checkpoint, registry, arguments.revision)
    found = list(parts(checkpoint, registry, values=not arguments.headers))
    told = {"checkpoint": arguments.checkpoint, **_summary(checkpoint, registry)}
    if arguments.json:
        print(json.dumps({**told, "components": [_as_json(part) for part in found]}, indent=2))
    else:
        print(_as_text(told, found))
    return 1 if any(part.problem for part in found) else 0


def _summary(checkpoint: Checkpoint, registry: Registry) -> dict[str, Any]:
    """What the index says of the whole."""
    index = checkpoint.index
    is_known = registry.pipeline(index.class_name) is not None
    found = registry.resolve(index.class_name) if is_known else None
    return {
        "folder": str(index.folder),
        "commit": checkpoint.commit,
        "class": index.class_name,
        "options": dict(index.options),
        "family": found and found.family,
        "package": found and found.plugin.dist,
        "version": found and found.plugin.version,
        "tasks": [str(task) for task in tasks_of(index.class_name, registry)],
        "note": None if found else registry.explain_missing(index.class_name),
    }


def _as_json(part: Part) -> dict[str, Any]:
    weights = part.weights
    return {
        "name": part.name,
        "library": part.pair[0] if part.pair else None,
        "class": part.pair[1] if part.pair else None,
        "parameters": part.parameters,
        "bytes": weights.size if weights else 0,
        "dtype": part.dtype,
        "format": weights.format if weights else None,
        "variant": weights.variant if weights else None,
        "variants": list(part.variants),
        "weights": [{"path": f.path, "bytes": f.size} for f in weights.files] if weights else [],
        "other_files": [{"path": f.path, "bytes": f.size} for f in part.side],
        "problem": part.problem,
    }


def _as_text(told: dict[str, Any], found: Sequence[Part]) -> str:
    weights = [part.weights for part in found if part.weights]
    parameters = [part.parameters for part in found if part.parameters is not None]
    package = f" ({told['package']} {told['version']})"
    facts = {
        "checkpoint": told["checkpoint"],
        "folder": told["folder"],
        "commit": told["commit"],
        "class": told["class"],
        "family": told["family"] + package if told["family"] else "none that is installed",
        "tasks": ", ".join(told["tasks"]) or "none",
        "options": ", ".join(f"{k}={json.dumps(v)}" for k, v in told["options"].items()),
        "weights": _total(weights, parameters),
    }
    sections = [
        table([(name, value) for name, value in facts.items() if value]),
        table(
            [(part.name, *(part.pair or ("none", ""))) for part in found],
            ("COMPONENT", "LIBRARY", "CLASS"),
        ),
        table(
            [_row(part, part.weights) for part in found if part.weights],
            ("WEIGHTS OF", "PARAMETERS", "SIZE", "DTYPE", "FORMAT", "VARIANTS"),
        ),
        table(
            [
                (file.path, size(file.size) if file.size >= 0 else "unknown")
                for part in found
                for file in (*(part.weights.files if part.weights else ()), *part.side)
            ],
            ("FILE", "SIZE"),
        ),
        paragraph(told["note"] or ""),
        "\n".join(
            paragraph(f"{part.name}: {part.problem}", "  ", first="- ")
            for part in found
            if part.problem
        ),
    ]
    return "\n\n".join(section for section in sections if section)


def _row(part: Part, weights: Weights) -> tuple[str, ...]:
    return (
        part.name,
        "unknown" if part.parameters is None else number(part.parameters),
        size(weights.size),
        part.dtype or "unknown",
        "pickled" if weights.format == "bin" else weights.format,
        ", ".join(variant or "plain" for variant in part.variants),
    )


def number(count: int) -> str:
    """A large number as people write it: 860 M."""
    amount, units = float(count), ["", " K", " M", " B"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g}{units[0]}"


def _total(weights: Sequence[Weights], parameters: Sequence[int]) -> str:
    files = sum(len(each.files) for each in weights)
    if not files:
        return "none"
    told = f"{size(sum(each.size for each in weights))} in {files} file{'' if files == 1 else 's'}"
    return told + (f", {number(sum(parameters))} parameters" if parameters else "")
