"""`autopipe lora`: shows what is in a LoRA file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict

from autopipe.checkpoint.attachable import open_tensors
from autopipe.cli.command import Run, explain, option, show
from autopipe.cli.text import counted, facts, table
from autopipe.wording import listed, shown

from .addon import NAMES
from .formats import Summary, summarise

ABOUT = (
    "Show what is in a LoRA file: its format, the components that it changes, the number of layers "
    "and their ranks, and what its metadata says about the training, such as the words that "
    "occur most in it. `generate --lora` attaches the file."
)
EXAMPLES = ("autopipe lora ink.safetensors", "autopipe lora OWNER/NAME --json")


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="a file, a folder, a repository or demo:NAME")
    option(parser, "--weight-name NAME", "the name of the file in a folder or repository")
    option(parser, "--revision NAME", "the branch, tag or commit of a repository")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the content."""
    file = open_tensors(
        arguments.file,
        names=NAMES,
        weight_name=arguments.weight_name,
        revision=arguments.revision,
    )
    found = summarise(file.tensors, file.metadata, file.origin)
    ranks = {"whole" if rank is None else str(rank): n for rank, n in found.ranks.items()}
    data = {"file": file.origin, **asdict(found), "ranks": ranks}
    show(arguments.json, data, _as_text(file.origin, found, ranks))
    return 0


def _as_text(origin: str, found: Summary, ranks: Mapping[str, int]) -> str:
    overview = {
        "file": origin,
        "format": found.format,
        "layers": str(sum(found.layers.values())),
        "ranks": _counts(ranks),
        "magnitudes": str(found.magnitudes) if found.magnitudes else None,
        "dtype": listed(found.dtypes),
        "values": f"{found.parameters:,}",
        "title": found.title,
        "trained with": found.base_model,
        "trigger": found.trigger,
        "frequent tags": _counts(found.tags),
    }
    components = [(name or "(not named)", str(n)) for name, n in found.layers.items()]
    reasons: dict[str, list[str]] = {}
    for key, reason in found.skipped.items():
        reasons.setdefault(reason, []).append(key)
    unused = [
        (counted(len(keys), "key", "keys"), shown(keys[0]), reason)
        for reason, keys in reasons.items()
    ]
    sections = (
        facts(overview),
        table(components, ("COMPONENT", "LAYERS")) if components else "",
        table(unused, ("NOT USED", "SUCH AS", "REASON")) if unused else "",
    )
    return "\n\n".join(section for section in sections if section)


def _counts(counts: Mapping[str, int]) -> str:
    """Return names with their counts, the only one without."""
    if len(counts) == 1:
        return next(iter(counts))
    return listed(f"{name} ({count})" for name, count in counts.items())
