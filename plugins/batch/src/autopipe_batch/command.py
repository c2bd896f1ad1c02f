"""`autopipe batch`: draws the jobs of a file, each exactly once."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from autopipe.cli.arguments import count
from autopipe.cli.command import Run, explain, option, show
from autopipe.registry import default_registry
from autopipe_requests.options import (
    declare_inputs,
    declare_placement,
    declare_request,
    given_in,
    placement_in,
)

from .jobs import FORMATS
from .sweep import sweep

ABOUT = (
    "Draw the jobs of a file into a folder, each exactly once. A job is a request: a line of JSON "
    "with the names of options or arguments, a row of a CSV file whose header has these names, or "
    "a line of text that is a prompt. The options below are for jobs that don't say otherwise. "
    "The results are ID.png, where the ID follows from the request. The same command again draws "
    "what is missing, verifies what is there, and does nothing if all is done. Ctrl-C finishes "
    "what is being drawn; a second one stops at once. Exit code 1 if a job failed or was set aside."
)
EXAMPLES = (
    "autopipe batch jobs.jsonl -o pictures",
    "autopipe batch prompts.txt -o pictures --steps 30 --num-images 4",
    "autopipe batch prompts.txt -o sweep --sweep scheduler=ddim,euler",
    "autopipe batch jobs.csv -o pictures --devices cuda:0,cuda:1",
    "accelerate launch -m autopipe batch jobs.jsonl -o pictures",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    registry, add, take = default_registry(), parser.add_argument, partial(option, parser)
    add("JOBS", metavar="JOBS", help="the file of jobs; - is standard input")
    take("-o --output FOLDER", "the folder of the results (required)", required=True)
    about = "the format of JOBS (default: by its suffix, else jsonl if it begins with {, or text)"
    add("--format", choices=FORMATS, help=about)
    about = "png, jpeg or webp, for images (default: png)"
    add("--type", choices=("png", "jpeg", "webp"), default="png", help=about)
    about = (
        "draw every job with each of these values, and write a contact sheet; NAME=[...] is a "
        "list in JSON, NAME=0..7 a range; repeated: all combinations (default: none)"
    )
    take("--sweep NAME=V1,V2,...", about, type=sweep, many=True)
    about = "the number of images of each job, whose seeds count up (default: 1)"
    take("--num-images N", about, type=count, default=1)
    about = "the swept arguments for rows and columns, or prompt, or seed (default: the first two)"
    take("--sheet rows=NAME,columns=NAME", about)
    about = "draw the other jobs if lines of JOBS are not valid (default: no)"
    add("--keep-going", action="store_true", help=about)
    about = "also try again what was set aside because workers died of it (default: no)"
    add("--retry", action="store_true", help=about)
    about = "don't read what is there to find changes (default: read and verify it)"
    add("--trust", action="store_true", help=about)
    runners = ", ".join(registry.of("runner"))
    take("--on NAME", f"what distributes the jobs: {runners} (default: local)", default="local")
    about = "processes that draw at the same time (default: one per device, or as memory allows)"
    take("--workers N", about, type=count)
    about = (
        "threads of each worker; a folder keeps the number that it began with, because results "
        "can depend on it (default: all cores for the default number of workers)"
    )
    take("--threads N", about, type=count)
    about = "the devices of the workers, such as cuda:0,cuda:1 (default: all accelerators)"
    take("--devices NAMES", about)
    about = (
        "draw up to N jobs together that only differ in prompts and seed; faster on some machines, "
        "but results then equal those of single jobs only within rounding (default: 1)"
    )
    take("--batch-size N", about, type=count, default=1)
    add("--dry-run", action="store_true", help="only say what would be drawn")
    add("--json", action="store_true", help="print the summary as JSON")
    add("-q", "--quiet", action="store_true", help="no progress on stderr")
    declare_request(parser, registry)
    declare_placement(parser)
    declare_inputs(parser, registry)
    return run


def run(arguments: argparse.Namespace) -> int:
    """Draw the jobs and print a summary."""
    from autopipe_requests.completing import Completion

    from .batch import Batch, Options
    from .jobs import read_jobs
    from .plan import check_lines, plan
    from .ranks import rank_of
    from .rehearsal import Rehearsal
    from .sheet import MOST_LABELS, axes_of, layout, sheet_option
    from .sweep import combinations

    registry, placement = default_registry(), placement_in(arguments)
    sheet = sheet_option(arguments.sheet) if arguments.sheet else {}
    sweeps = tuple(arguments.sweep or ())
    rank = rank_of()
    found = plan(
        read_jobs(arguments.JOBS, arguments.format),
        Completion(registry).complete,
        defaults=given_in(arguments),
        swept=combinations(sweeps, arguments.num_images),
        images=arguments.num_images,
        titles=MOST_LABELS,
        check=Rehearsal(registry),
    )
    if not arguments.keep_going:
        check_lines(found, arguments.JOBS)
    where = None
    if (sweeps or sheet) and found.cells:
        swept = {one.name: one.values for one in sweeps}
        axes = axes_of(found.titles, swept, arguments.num_images, len(found.cells))
        where = layout(axes, sheet)
    devices = [one.strip() for one in (arguments.devices or "").split(",") if one.strip()]
    options = Options(
        folder=Path(arguments.output),
        image=arguments.type,
        placement=placement,
        runner=registry.entry("runner", arguments.on).target,
        workers=arguments.workers,
        threads=arguments.threads,
        devices=tuple(devices),
        batch_size=arguments.batch_size,
        retry=arguments.retry,
        trust=arguments.trust,
        quiet=arguments.quiet,
    )
    batch = Batch(found, options, rank, registry)
    if arguments.dry_run:
        summary = batch.preview()
        show(arguments.json, summary.data(), f"{summary.left} of {summary.text()}")
        return summary.code
    code = batch.draw()
    if where is not None:
        batch.add_sheet(where)
    show(arguments.json, batch.summary.data(), batch.summary.text())
    return code
