"""`autopipe download`: fetches the files of a repository that a pipeline needs."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from ..registry import default_registry
from .checkpoint import declare_checkpoint
from .command import Run, explain, option
from .options import declare_stages, given_of
from .text import as_json, counted, facts, say, size, table

if TYPE_CHECKING:
    from ..checkpoint.plan import Plan

ABOUT = (
    "List the files of a checkpoint that its pipeline needs, with their sizes, then fetch those "
    "that are not in the cache yet. All files are from one commit. The checksum of each is "
    "verified, also if it was in the cache before, and damaged files are fetched again. An "
    "interrupted download resumes when it is started again."
)
EXAMPLES = (
    "autopipe download OWNER/NAME --dry-run",
    "autopipe download OWNER/NAME --variant fp16",
    "autopipe download OWNER/NAME --without safety_checker",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    add, take = parser.add_argument, partial(option, parser)
    declare_checkpoint(parser)
    take("--task TASK", "fetch the files that the pipeline for this task needs")
    take("--variant NAME", "the variant of the weight files, such as fp16")
    take("--without NAME", "a component to leave out (can be repeated)", many=True)
    take("--cache-dir FOLDER", "the cache (default: that of huggingface_hub)")
    add("--dry-run", action="store_true", help="only list what would be fetched")
    add("--json", action="store_true", help="print JSON")
    declare_stages(parser, default_registry())
    return run


def run(arguments: argparse.Namespace) -> int:
    """Print the plan and fetch the files."""
    from ..checkpoint.checkpoint import Checkpoint
    from ..pipeline.base import DiffusionPipeline

    keywords = {
        "revision": arguments.revision,
        "variant": arguments.variant,
        "cache_dir": arguments.cache_dir,
        "load_connected_pipeline": True,
        **dict.fromkeys(arguments.without or ()),
        **{word.removeprefix("--"): stage for word, stage in given_of(arguments).items()},
    }
    checkpoint = Checkpoint.open(arguments.checkpoint, keywords)
    cls: type = DiffusionPipeline
    if arguments.task:
        cls = default_registry().resolve(checkpoint.index.class_name, arguments.task).load_class()
    plan = checkpoint.plan(cls)
    if arguments.json:
        if not arguments.dry_run:
            plan.run()
        data = {"checkpoint": arguments.checkpoint, **_as_json(plan, not arguments.dry_run)}
        say(as_json(data))
        return 0
    say(_as_text(arguments.checkpoint, plan))
    if not arguments.dry_run:
        say(f"\nAll files are in {plan.run()}")
    return 0


def _as_json(plan: Plan, done: bool) -> dict[str, Any]:
    return {
        "commit": plan.source.commit,
        "class": plan.cls.__name__,
        "folder": str(plan.source.root) if done else None,
        "bytes": plan.size,
        "bytes_to_fetch": plan.missing_size,
        "files": [
            {"path": i.path, "bytes": i.size, "component": i.component, "to_fetch": i.missing}
            for i in plan.items
        ],
        **({plan.keyword: _as_json(plan.stage, done)} if plan.stage else {}),
    }


def _as_text(checkpoint: str, plan: Plan) -> str:
    stages = [("", plan), *([(plan.keyword, plan.stage)] if plan.stage else [])]
    missing = sum(len(stage.missing) for _, stage in stages)
    count = counted(missing, "file", "files")
    overview = {
        "checkpoint": checkpoint,
        "commit": plan.source.commit,
        "class": plan.cls.__name__,
        **({plan.keyword: plan.stage.source.name} if plan.stage else {}),
        "files": f"{size(plan.size)} in {sum(len(stage.items) for _, stage in stages)} files",
        "to fetch": f"{size(plan.missing_size)} in {count}" if missing else "nothing",
    }
    rows = [
        (
            item.path,
            f"{item.size:,}" if item.size >= 0 else "unknown",
            " ".join(filter(None, [keyword, item.component])),
            "to fetch" if item.missing else "local",
        )
        for keyword, stage in stages
        for item in stage.items
    ]
    return f"{facts(overview)}\n\n{table(rows, ('FILE', 'BYTES', 'COMPONENT', ''))}"
