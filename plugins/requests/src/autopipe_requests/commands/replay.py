"""`autopipe replay`: draws a picture again from the settings in it."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from autopipe.cli.command import Run, explain, option
from autopipe.cli.text import say
from autopipe.wording import clean

from ..options import declare_placement, placement_in

if TYPE_CHECKING:
    from autopipe.registry import Registry

    from ..drawing import Drawn
    from ..placement import Placement
    from ..record import Record
    from ..replaying import Found
    from ..request import Request

ABOUT = (
    "Draw a picture again from the settings in it, and compare. A picture of autopipe is equal to "
    "the last bit with the same processor, engine and versions; what differs is told before it is "
    "drawn. Pictures of AUTOMATIC1111's web UI, Forge, Civitai, InvokeAI and ComfyUI are drawn as "
    "far as their settings have a meaning here, and what hasn't is told. Nothing is fetched: "
    "'autopipe download' gets a checkpoint. Exit code 1 if --check finds a difference."
)
EXAMPLES = (
    "autopipe replay circle.png",
    "autopipe replay circle.png --check",
    "autopipe replay castle.png --folder ~/models -o again.png",
    "autopipe replay downloaded.png --model ./my-checkpoint",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="a picture, an animation or a sound")
    about = "the file to write (default: NAME-replay with the suffix of FILE)"
    option(parser, "-o --output FILE", about)
    about = "write nothing, and only tell whether the result is the same"
    parser.add_argument("--check", action="store_true", help=about)
    about = "the checkpoint to use (default: the one that the file names)"
    option(parser, "--model CHECKPOINT", about)
    about = "where to look for files that it names; repeat it for several (default: the folder of "
    option(parser, "--folder FOLDER", f"{about}FILE, and the current one)", many=True)
    about = "use files although they have changed since"
    parser.add_argument("--anyway", action="store_true", help=about)
    declare_placement(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Draw the picture again, write it, and tell whether it is the same."""
    from autopipe.registry import default_registry

    from ..completing import Completion
    from ..replaying import read

    registry, file = default_registry(), Path(arguments.file)
    folders = [Path(one).expanduser() for one in arguments.folder or ()]
    found = read(
        file,
        [*folders, file.parent, Path()],
        registry,
        model=arguments.model,
        anyway=arguments.anyway,
    )
    completion = Completion(registry, local_only=True)
    draft = completion.draft(found.given)
    output = Path(arguments.output or file.with_name(f"{file.stem}-replay{file.suffix}"))
    for heading, lines in (("Not taken over:", found.left), ("Not reproduced:", found.differs)):
        _tell(heading, lines)
    if not arguments.quiet:
        say(f"Loading {clean(draft.checkpoint.name)}", error=True)
    request = completion.finished(draft)
    drawn = _drawn(found, request, placement_in(arguments), registry, quiet=arguments.quiet)
    return _finish(drawn, file, output, found.record, check=arguments.check)


def _tell(heading: str, lines: Sequence[str]) -> None:
    """Print a list on stderr, unless it is empty."""
    if lines:
        say("\n".join([heading, *(f"- {clean(line)}" for line in lines)]), error=True)


def _drawn(
    found: Found, request: Request, placement: Placement, registry: Registry, *, quiet: bool
) -> Drawn:
    """Draw the request as it was drawn, after telling what differs."""
    from ..circumstances import here
    from ..drawing import draw
    from ..opening import Pipelines, Ready
    from ..replaying import differences

    def prepare(ready: Ready) -> None:
        for one in (ready.pipe, *ready.stages):
            one.set_progress_bar_config(desc=request.task or "replay", disable=quiet)

    then = None if found.record is None else found.record.drawn
    with (
        _threads(then.threads if then else 0),
        Pipelines(placement, registry, local_only=True) as pipelines,
    ):
        if then is not None:
            now = here(request, then.pipeline, placement.target(), registry)
            _tell("Not as it was drawn:", differences(then, now))
        rows, row, listed = (then.rows, then.row, then.listed) if then else (1, 0, False)
        requests = [request] * rows
        return draw(requests, pipelines, listed=listed, before=prepare)[row]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, if there are as many processors; 0 for its own choice."""
    import torch

    before = torch.get_num_threads()
    if 0 < count <= (os.cpu_count() or 1):
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finish(drawn: Drawn, file: Path, output: Path, record: Record | None, *, check: bool) -> int:
    """Write the result, tell whether it equals `file`, and return the exit code."""
    from ..comparing import compared

    if not check:
        drawn.save(output)
        say(clean(str(output), keep=""))
        if record is not None:
            say(compared(file, output)[1], error=True)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        same, text = compared(file, drawn.save(Path(folder) / f"replay{file.suffix}"))
    say(text)
    return 0 if same else 1
