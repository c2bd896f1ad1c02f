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
from autopipe.cli.text import paragraph, say
from autopipe.errors import ArgumentError
from autopipe.wording import clean, listed

from ..options import declare_placement, placement_in

if TYPE_CHECKING:
    from autopipe.registry import Registry
    from autopipe.tasks import Task

    from ..drawing import Drawn
    from ..record import Record
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
    about = "the file to write; an existing file is replaced (default: NAME-replay of FILE's kind)"
    option(parser, "-o --output FILE", about)
    about = "write nothing, and only tell whether the result is the same"
    parser.add_argument("--check", action="store_true", help=about)
    about = "the checkpoint to use (default: the one that the file names)"
    option(parser, "--model CHECKPOINT", about)
    about = "where to look for files that it names; repeat it for several (default: the folder of "
    option(parser, "--folder FOLDER", f"{about}FILE, and the current one)", many=True)
    about = "use files that have changed since, and draw what is unusually large"
    parser.add_argument("--anyway", action="store_true", help=about)
    declare_placement(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Draw the picture again, write it, and tell whether it is the same."""
    from autopipe.registry import default_registry

    from ..completing import Completion
    from ..replaying import drafted, finder, read

    registry, file = default_registry(), Path(arguments.file)
    folders = [*map(Path, map(os.path.expanduser, arguments.folder or ())), file.parent, Path()]
    found = read(file, folders, registry, model=arguments.model, anyway=arguments.anyway)
    completion = Completion(
        registry, find=finder(folders), local_only=True, otherwise="give --anyway"
    )
    draft, misfits = drafted(found, completion)
    output = _output(arguments, file, draft.task)
    _tell("Not taken over:", [*found.left, *misfits])
    _tell("Not reproduced:", found.differs)
    request = completion.finished(draft)
    if not arguments.anyway:
        _check_extent(request, found.record)
    class_name = draft.opened.index.class_name
    drawn = _drawn(found.record, request, class_name, arguments, registry)
    return _finish(drawn, file, output, found.record)


def _output(arguments: argparse.Namespace, file: Path, task: Task | None) -> Path | None:
    """Return the file to write, which can be written; None with --check.

    Raises:
        ImageFileError: if it can't be written.
    """
    from ..pictures import suffix_of
    from ..writing import check_suffix, check_writable

    if arguments.check:
        return None
    end = file.suffix if file.suffix.lower() == ".jpeg" else suffix_of(file)
    output = Path(arguments.output or file.with_name(f"{file.stem}-replay{end}"))
    check_writable(output)
    if task is not None:
        check_suffix(output, task.output)
    return output


def _tell(heading: str, lines: Sequence[str]) -> None:
    """Print a list on stderr, unless it is empty."""
    if lines:
        items = [paragraph(line, "  ", first="- ") for line in lines]
        say("\n".join([heading, *items]), error=True)


def _check_extent(request: Request, record: Record | None) -> None:
    """Check that a picture, which anyone may have made, doesn't ask for far too much.

    Raises:
        ArgumentError: if it does.
    """
    from ..limits import beyond_usual

    if beyond := beyond_usual(request, record.drawn.rows if record else 1):
        raise ArgumentError(
            f"the picture asks for {listed(beyond)}, which may take more time or memory than there "
            f"is; give --anyway to draw it nevertheless"
        )


def _drawn(
    record: Record | None,
    request: Request,
    class_name: str,
    arguments: argparse.Namespace,
    registry: Registry,
) -> Drawn:
    """Draw the request as it was drawn, after telling what differs."""
    from ..checking import class_of
    from ..circumstances import here
    from ..differing import differences
    from ..drawing import draw
    from ..opening import Pipelines, Ready
    from ..rehearsal import check_call

    placement, then = placement_in(arguments), record.drawn if record else None

    def prepare(ready: Ready) -> None:
        for one in (ready.pipe, *ready.stages):
            one.set_progress_bar_config(desc=request.task or "replay", disable=arguments.quiet)

    with _threads(then.threads if then else 0):
        if record is not None:
            cls = class_of(class_name, request.task, request.conditions, registry)
            now = here(request, cls.__name__, placement.target(), registry)
            _tell("Not as it was drawn:", differences(record, request, now))
        check_call(request, class_name, registry, local_only=True)
        if not arguments.quiet:
            say(f"Loading {clean(request.checkpoint.name)}", error=True)
        with Pipelines(placement, registry, local_only=True) as pipelines:
            rows, row, listed_ = (then.rows, then.row, then.listed) if then else (1, 0, False)
            return draw([request] * rows, pipelines, listed=listed_, before=prepare)[row]


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


def _finish(drawn: Drawn, file: Path, output: Path | None, record: Record | None) -> int:
    """Write the result, tell whether it equals `file`, and return the exit code."""
    from ..comparing import compared
    from ..pictures import suffix_of

    same, text = True, ""
    if output is None or record is not None:
        # `output` may be `file`, or of another format, whose pixels differ.
        with tempfile.TemporaryDirectory() as folder:
            again = drawn.save(Path(folder) / f"replay{suffix_of(file)}")
            same, text = compared(file, again)
    if output is None:
        say(text)
        return 0 if same else 1
    say(clean(str(drawn.save(output)), keep=""))
    if text:
        say(text, error=True)
    return 0
