"""`autopipe inspect`: shows what is in a checkpoint."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..checkpoint.needs import largest, largest_layer
from ..placement.machine import main_memory
from ..registry import Registry, default_registry
from .checkpoint import (
    MEMORY_DTYPES,
    Checkpoint,
    Part,
    declare_checkpoint,
    open_checkpoint,
    parts,
    tasks_of,
)
from .command import Run, explain, show
from .text import counted, facts, paragraph, size, table

ABOUT = (
    "Show what is in a checkpoint: its components, their sizes, dtypes, variants and files, and "
    "the memory that its weights will take. Of a repository, only the index, the configs of "
    "networks and the headers of weights are fetched. Local weights are read to find values that "
    "are not finite, unless --headers is given. Exit code 1 if something is missing, damaged or "
    "quantized, else 0."
)
EXAMPLES = (
    "autopipe inspect ./my-checkpoint",
    "autopipe inspect OWNER/NAME --json",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    declare_checkpoint(parser)
    parser.add_argument("--headers", action="store_true", help="read only the headers of weights")
    parser.add_argument("--json", action="store_true", help="print JSON, with every file")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the content; return 1 if something is wrong with it."""
    registry = default_registry()
    checkpoint = open_checkpoint(arguments.checkpoint, registry, arguments.revision)
    every = list(parts(checkpoint, registry, values=not arguments.headers))
    found = [_part_as_json(part) for part in every]
    summary = _summary(checkpoint, registry)
    data = {
        "checkpoint": arguments.checkpoint,
        **summary,
        "components": found,
        "memory": _memory(every),
        "main_memory": main_memory(),
    }
    show(arguments.json, data, _as_text(data))
    return 1 if any(part["problem"] for part in found) else 0


def _summary(checkpoint: Checkpoint, registry: Registry) -> dict[str, Any]:
    """Return the facts from the index."""
    index = checkpoint.index
    found = registry.resolve(index.class_name) if registry.pipeline(index.class_name) else None
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


def _part_as_json(part: Part) -> dict[str, Any]:
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


def _memory(every: list[Part]) -> dict[str, dict[str, Any]]:
    """Return by dtype the bytes that the weights take in main memory, and on a device."""
    found: dict[str, dict[str, Any]] = {}
    for dtype in MEMORY_DTYPES:
        needs = [part.needs[dtype] for part in every if dtype in part.needs]
        top, layer = largest(needs), largest_layer(needs)
        if top is not None and layer is not None:
            found[dtype] = {
                "loading": sum(one.copied for one in needs),
                "resident": sum(one.weights for one in needs),
                "model_offload": top.weights,
                "largest": top.name,
                "sequential_offload": layer.layer,
                "largest_layer_of": layer.name,
            }
    return found


def _memory_as_text(data: dict[str, Any]) -> str:
    found, here = data["memory"], data["main_memory"]
    if not found:
        return ""
    rows = [
        (
            f"dtype={dtype!r}",
            size(one["loading"]) if one["loading"] else "in their files",
            size(one["resident"]),
            f"{size(one['model_offload'])} ({one['largest']})",
            f"{size(one['sequential_offload'])} ({one['largest_layer_of']})",
        )
        for dtype, one in found.items()
    ]
    head = ("WEIGHTS WITH", "READ INTO MEMORY", "ALL", "MODEL OFFLOAD", "SEQUENTIAL OFFLOAD")
    much = [dtype for dtype, one in found.items() if here is not None and one["loading"] > here]
    more = "A call takes more, for what it computes. Without a dtype, weights are float32."
    if much:
        more += f" Too much for the {size(here)} of main memory here: {', '.join(much)}."
    return f"{table(rows, head)}\n{paragraph(more)}"


def _as_text(data: dict[str, Any]) -> str:
    found = data["components"]
    files = [file for part in found for file in (*part["weights"], *part["other_files"])]
    package = f" ({data['package']} {data['version']})"
    overview = {
        "checkpoint": data["checkpoint"],
        "folder": data["folder"],
        "commit": data["commit"],
        "class": data["class"],
        "family": data["family"] + package if data["family"] else "none installed",
        "tasks": ", ".join(data["tasks"]) or "none",
        "options": ", ".join(f"{k}={json.dumps(v)}" for k, v in data["options"].items()),
        "weights": _total(found),
    }
    sections = [
        facts(overview),
        table(
            [(part["name"], part["library"] or "none", part["class"] or "") for part in found],
            ("COMPONENT", "LIBRARY", "CLASS"),
        ),
        table(
            [_row(part) for part in found if part["weights"]],
            ("WEIGHTS OF", "PARAMETERS", "SIZE", "DTYPE", "FORMAT", "VARIANTS"),
        ),
        _memory_as_text(data),
        table(
            [(f["path"], size(f["bytes"]) if f["bytes"] >= 0 else "unknown") for f in files],
            ("FILE", "SIZE"),
        ),
        paragraph(data["note"] or ""),
        "\n".join(
            paragraph(f"{part['name']}: {part['problem']}", "  ", first="- ")
            for part in found
            if part["problem"]
        ),
    ]
    return "\n\n".join(section for section in sections if section)


def _row(part: dict[str, Any]) -> tuple[str, ...]:
    return (
        part["name"],
        "unknown" if part["parameters"] is None else number(part["parameters"]),
        size(part["bytes"]),
        part["dtype"] or "unknown",
        "pickled" if part["format"] == "bin" else part["format"],
        ", ".join(variant or "plain" for variant in part["variants"]),
    )


def number(count: int) -> str:
    """Format a large number, such as 860 M."""
    amount, units = float(count), ["", " K", " M", " B"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g}{units[0]}"


def _total(found: list[dict[str, Any]]) -> str:
    files = sum(len(part["weights"]) for part in found)
    if not files:
        return "none"
    parameters = [part["parameters"] for part in found if part["parameters"] is not None]
    text = f"{size(sum(part['bytes'] for part in found))} in {counted(files, 'file', 'files')}"
    return text + (f", {number(sum(parameters))} parameters" if parameters else "")
