"""`autopipe download`: fetch what a pipeline needs of a repository, and nothing else."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..registry import default_registry
from .checkpoint import declare_checkpoint
from .text import size, table

if TYPE_CHECKING:
    from ..checkpoint.download import Download
    from ..checkpoint.index import Index

HELP = "fetch what a pipeline needs of a repository, after telling exactly what that is"
ABOUT = (
    "Tell which files of a checkpoint its pipeline needs, with their bytes, then fetch those that "
    "are not in the cache yet. All are of one commit, and each is compared with the digest that "
    "the Hub gives for it, also if it was there before: what is damaged is fetched again, alone. "
    "An interrupted download goes on where it was when it is started again."
)
EXAMPLES = (
    "autopipe download stable-diffusion-v1-5/stable-diffusion-v1-5 --dry-run",
    "autopipe download stabilityai/stable-diffusion-xl-base-1.0 --variant fp16",
    "autopipe download CompVis/stable-diffusion-v1-4 --without safety_checker",
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    declare_checkpoint(parser)
    add("--task", metavar="TASK", help="fetch what the pipeline for this task needs")
    add("--variant", metavar="NAME", help="which weight files, such as fp16")
    add("--without", metavar="NAME", action="append", help="a component to leave out")
    add("--cache-dir", metavar="FOLDER", help="the cache (default: that of huggingface_hub)")
    add("--dry-run", action="store_true", help="tell what would be fetched, and fetch nothing")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan and carry it out."""
    from ..checkpoint.download import plan_download
    from ..pipeline.base import DiffusionPipeline

    registry = default_registry()

    def choose(index: Index) -> type:
        return registry.resolve(index.class_name, arguments.task).load_class()

    plan = plan_download(
        choose if arguments.task else DiffusionPipeline,
        arguments.checkpoint,
        revision=arguments.revision,
        variant=arguments.variant,
        cache_dir=arguments.cache_dir,
        **dict.fromkeys(arguments.without or ()),
    )
    if not arguments.json:
        print(_as_text(arguments.checkpoint, plan), flush=True)
    folder = None if arguments.dry_run else str(plan.run())
    if arguments.json:
        print(json.dumps(_as_json(arguments.checkpoint, plan, folder), indent=2))
    elif folder is not None:
        print(f"\nAll of it is in {folder}")
    return 0


def _as_json(checkpoint: str, plan: Download, folder: str | None) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint,
        "commit": plan.commit,
        "class": plan.class_name,
        "folder": folder,
        "bytes": plan.size,
        "bytes_to_fetch": plan.missing_size,
        "files": [
            {"path": i.path, "bytes": i.size, "component": i.component, "to_fetch": i.missing}
            for i in plan.items
        ],
    }


def _as_text(checkpoint: str, plan: Download) -> str:
    count = len(plan.missing)
    to_fetch = f"{size(plan.missing_size)} in {count} file{'' if count == 1 else 's'}"
    facts = {
        "checkpoint": checkpoint,
        "commit": plan.commit,
        "class": plan.class_name,
        "files": f"{size(plan.size)} in {len(plan.items)} files",
        "to fetch": to_fetch if plan.missing else "nothing",
    }
    rows = [
        (
            item.path,
            f"{item.size:,}" if item.size >= 0 else "unknown",
            item.component or "",
            "to fetch" if item.missing else "here",
        )
        for item in plan.items
    ]
    return "\n\n".join(
        [
            table([(name, value) for name, value in facts.items() if value]),
            table(rows, ("FILE", "BYTES", "COMPONENT", "")),
        ]
    )
