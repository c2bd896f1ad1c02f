"""`autopipe generate`: generates images, frames or sounds with the installed tasks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.cli.arguments import count
from autopipe.cli.command import Run, explain, option
from autopipe.cli.options import PROMPT, given_of
from autopipe.cli.text import as_json as json_of
from autopipe.cli.text import say
from autopipe.registry import default_registry
from autopipe.wording import clean
from autopipe_requests.completing import Completion
from autopipe_requests.fields import fast_addons
from autopipe_requests.options import (
    declare_inputs,
    declare_placement,
    declare_request,
    given_in,
    placement_in,
    spelled,
)

from . import results

if TYPE_CHECKING:
    from autopipe_requests.drawing import Drawn
    from autopipe_requests.opening import Pipelines, Ready
    from autopipe_requests.request import Request

ABOUT = (
    "Generate images from a prompt, from an image to change, or whatever the installed tasks "
    "generate from their inputs. The task is chosen by the given inputs, among those that the "
    "checkpoint supports. Every PNG, JPEG, WebP, GIF and WAV file contains its request, which "
    "'autopipe show' prints and 'autopipe replay' draws again. With --num-images, image i of "
    "NAME.png is NAME-i.png with the seed SEED + i - 1, and NAME.png shows all of them. With "
    "--upscale, another checkpoint enlarges the images of --model. --steps, --guidance, --size and "
    "--scheduler apply to --model; if repeated, to the first --upscale, and so on. --memory "
    "applies to all checkpoints together."
)
EXAMPLES = (
    'autopipe generate "a red circle on a white background" -o circle.png',
    'autopipe generate "a blue circle" --image circle.png --strength 0.8',
    'autopipe generate "a green star" --num-images 4 --seed 7 -o stars.png',
    'autopipe generate "a hut" --model ./my-checkpoint --scheduler DDIM --steps 30',
    'autopipe generate "a hut" --model ./my-checkpoint --set clip_skip=1',
    'autopipe generate "a hut" --model ./one --upscale ./two --steps 50 --steps 30',
    'autopipe generate "a hut" --model ./my-checkpoint --memory 6GiB',
    'autopipe generate "a hut" --model model.safetensors',
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    registry = default_registry()
    about = "the text to draw, for tasks with a prompt"
    parser.add_argument(PROMPT, metavar=PROMPT, nargs="?", help=about)
    declare_request(parser, registry)
    about = "the number of images (default: 1)"
    option(parser, "--num-images N", about, type=count, default=1)
    declare_placement(parser)
    about = (
        "the file to write, a PNG, JPEG or WebP for images; an existing file is replaced (default: "
        "a new name from prompt and seed; also used in a given folder)"
    )
    option(parser, "-o --output FILE", about)
    parser.add_argument("--json", action="store_true", help="print files and settings as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    declare_inputs(parser, registry)
    return run


def run(arguments: argparse.Namespace) -> int:
    """Generate the results, write them, and print their files."""
    registry = default_registry()
    placement, given = placement_in(arguments), given_in(arguments)
    if not given_of(arguments) and not {"model", "task"} & given.keys():
        arguments.command.error(f"give {PROMPT}, or a --model that needs no prompt")
    completion = Completion(registry, spell=spelled, spell_argument=lambda name: f"--set {name}")
    draft = completion.draft(given)
    title = str(given.get("prompt") or draft.checkpoint.name)
    suffixes = results.suffixes_of(draft.task)
    output = results.output_name(
        arguments.output, title, draft.seed, arguments.num_images, suffixes
    )
    results.check_writable(output, arguments.num_images)
    if not arguments.quiet:
        say(f"Loading {draft.checkpoint.name}", error=True)
    request = completion.finished(draft)
    from autopipe.placement.allocator import keeping_memory
    from autopipe_requests.opening import Pipelines
    from autopipe_requests.rehearsal import check_call

    with (
        keeping_memory(placement.target(), in_new_threads=True),
        Pipelines(placement, registry) as pipelines,
    ):
        check_call(request, draft.opened.index.class_name, registry)
        requests = [request.with_seed(request.seed + i) for i in range(arguments.num_images)]
        drawn, attached = _drawn(requests, pipelines, quiet=arguments.quiet)
        files = results.write(drawn, output)
    _print(files, as_json=arguments.json)
    for name, loss in fast_addons(registry).items() if not arguments.quiet else ():
        if any(one.optional and one.addon == name for one in request.addons) and name in attached:
            say(f"--fast attached {name}: {loss}", error=True)
    return 0


def _drawn(
    requests: Sequence[Request], pipelines: Pipelines, *, quiet: bool
) -> tuple[list[Drawn], Sequence[str]]:
    """Draw the requests; return the results and the names of what was attached."""
    from autopipe_requests.drawing import draw

    attached: list[str] = []

    def prepare(ready: Ready) -> None:
        attached[:] = ready.labels
        names = [requests[0].task or "generate", *["upscale"] * len(ready.stages)]
        for one, name in zip([ready.pipe, *ready.stages], names):
            one.set_progress_bar_config(desc=str(name), disable=quiet)
            if pipelines.placement.memory is not None and not quiet:
                say(one.explain(), error=True)

    drawn = draw(requests, pipelines, before=prepare)
    for i, one in enumerate(drawn, start=1):
        if one.blackened:
            say(
                f"autopipe: the checkpoint's safety checker made image {i} black; "
                f"try another seed or prompt",
                error=True,
            )
    return drawn, attached


def _print(written: Sequence[tuple[Path, Mapping[str, Any]]], *, as_json: bool) -> None:
    """Print the files, one per line, or as JSON with their settings."""
    if as_json:
        say(json_of([{"file": str(file), **settings} for file, settings in written]))
    else:
        say("\n".join(clean(str(file), keep="") for file, _ in written))
