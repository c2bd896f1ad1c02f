"""`autopipe generate`: pictures, frames or sounds, by whatever task is installed."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..registry import default_registry
from .arguments import addon, assignment, budget, count, engine, fraction, number, seed, size
from .checkpoint import CHECKPOINT_HELP, REVISION_HELP
from .command import Run, explain
from .inputs import PROMPT, declare_inputs
from .loading import class_of, load_for, load_stage_for
from .record import print_result, settings_of, settings_of_stages, write
from .request import Request, request
from .values import call_of, parameters_of

if TYPE_CHECKING:
    from ..pipeline.base import DiffusionPipeline

ABOUT = (
    "Make pictures from a prompt, from a picture to change, or whatever the installed tasks make "
    "of their inputs. Of the tasks that the checkpoint can do, it is the one whose inputs are "
    "those given. Every PNG holds its settings as text fields. With --num-images, picture i of "
    "NAME.png is NAME-i.png with the seed SEED + i - 1, and NAME.png shows them all. With "
    "--upscale a further checkpoint enlarges what --model makes. --steps, --guidance, --size and "
    "--scheduler are for --model; given again, for the first --upscale, and so on. --memory holds "
    "for all checkpoints together."
)
EXAMPLES = (
    'autopipe generate "a red circle on a white background" -o circle.png',
    'autopipe generate "a blue circle" --image circle.png --strength 0.8',
    'autopipe generate "a green star" --num-images 4 --seed 7 -o stars.png',
    'autopipe generate "a hut" --model ./my-checkpoint --scheduler DDIM --steps 30',
    'autopipe generate "a hut" --model ./my-checkpoint --set clip_skip=1',
    'autopipe generate "a hut" --model ./one --upscale ./two --steps 50 --steps 30',
    'autopipe generate "a hut" --model ./my-checkpoint --memory 6GiB',
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    registry, add = default_registry(), parser.add_argument
    add(PROMPT, metavar=PROMPT, nargs="?", help="what to draw, for tasks that start from a text")
    add(
        "--model",
        metavar="CHECKPOINT",
        help=f"{CHECKPOINT_HELP} (default: the demo of an installed family)",
    )
    add(
        "--upscale",
        metavar="CHECKPOINT",
        action="append",
        help="a checkpoint that enlarges what --model makes; give it again for what enlarges that "
        "(default: none)",
    )
    add(
        "--task",
        metavar="TASK",
        help=f"{', '.join(registry.tasks)} (default: by the inputs given)",
    )
    add("--negative", metavar="TEXT", help="what not to draw (default: nothing)")
    add(
        "--steps",
        metavar="N",
        type=count,
        action="append",
        help="denoising steps (default: the pipeline's)",
    )
    add(
        "--guidance",
        metavar="X",
        type=number,
        action="append",
        help="how closely to follow the prompt (default: the pipeline's)",
    )
    add(
        "--strength",
        metavar="X",
        type=fraction,
        help="how much of the picture to change, 0 to 1 (default: the pipeline's)",
    )
    add(
        "--size",
        metavar="WxH",
        type=size,
        action="append",
        help="pixels, as 512x768 or 512; input pictures are resized to it (default: the model's)",
    )
    add("--seed", metavar="N", type=seed, help="same seed, same picture (default: a random one)")
    add("--num-images", metavar="N", type=count, default=1, help="how many (default: 1)")
    add(
        "--scheduler",
        metavar="NAME",
        action="append",
        help="such as DDIM or EulerDiscrete (default: the checkpoint's)",
    )
    add(
        "--set",
        metavar="NAME=VALUE",
        type=assignment,
        action="append",
        help="any argument of the pipeline's call, as JSON or text; @FILE is a picture",
    )
    add(
        "--attach",
        metavar="NAME[=FILE]",
        type=addon,
        action="append",
        help=f"an add-on, with what it loads: {', '.join(registry.of('addon')) or 'none'} "
        f"installed (default: none)",
    )
    add(
        "--engine",
        metavar="[PART=]NAME",
        type=engine,
        action="append",
        help="what runs the networks, or one of them: "
        f"{', '.join(registry.of('engine')) or 'none'} installed (default: torch)",
    )
    add("--revision", metavar="NAME", help=REVISION_HELP)
    add(
        "--variant",
        metavar="NAME",
        help="of the weight files, such as fp16; auto takes what there is (default: none)",
    )
    add(
        "--dtype",
        choices=("auto", "float32", "float16", "bfloat16"),
        help="of the weights; auto is that of the files (default: float32, or with --variant "
        "that of the files)",
    )
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: the fastest here)")
    add(
        "--memory",
        metavar="SIZE",
        type=budget,
        help="what to take of the device, such as 6GiB, or auto for what is free; weights rest in "
        "main memory where they must (default: no limit)",
    )
    add(
        "--offload-folder",
        metavar="FOLDER",
        help="with --memory and without an accelerator: where weights may rest on the disk "
        "(default: nowhere)",
    )
    add(
        "--offload",
        choices=("model", "sequential"),
        help="let weights rest in main memory: networks come to the device one by one, or their "
        "layers, which takes least and is slow (default: no)",
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="the file to write, a PNG for pictures; one that is there is replaced (default: a new "
        "name made of prompt and seed; a folder gets such a name too)",
    )
    add(
        "--paste-unmasked",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with a mask: leave every pixel outside it exactly as it was (default: yes, where "
        "the pipeline can)",
    )
    add("--json", action="store_true", help="print files and settings as JSON")
    add("-q", "--quiet", action="store_true", help="no progress on stderr")
    declare_inputs(parser, registry)
    return run


def run(arguments: argparse.Namespace) -> int:
    """Make what is asked for, write it and print where it is."""
    registry = default_registry()
    asked = request(arguments, registry)
    if not arguments.quiet:
        print(f"Loading {asked.model}", file=sys.stderr)
    call = call_of(asked, class_of(asked, registry), registry)
    pipe = load_for(asked, registry)
    further: list[tuple[DiffusionPipeline, Mapping[str, Any]]] = []
    for stage in asked.upscale:
        before = [pipe, *(one for one, _ in further)]
        further.append((load_stage_for(stage, asked, before, registry), stage.call))
    names = [asked.task or "generate", *["upscale"] * len(further)]
    for one, name in zip([pipe, *(one for one, _ in further)], names):
        one.set_progress_bar_config(desc=str(name), disable=arguments.quiet)
        if asked.memory is not None and not arguments.quiet:
            print(one.explain(), file=sys.stderr)
    outputs = list(_outputs(asked, pipe, call, further))
    _report_blackened(outputs)
    common = {
        **settings_of(asked, pipe, call, registry),
        **settings_of_stages(asked, further),
    }
    print_result(write(asked, pipe, outputs, common), as_json=arguments.json)
    return 0


def _outputs(
    asked: Request,
    pipe: Any,
    call: dict[str, Any],
    further: Sequence[tuple[DiffusionPipeline, Mapping[str, Any]]],
) -> Iterator[Any]:
    """What the pipeline returns, or the last stage; a call for each, where it makes only one."""
    import torch

    # One generator for each picture, on the CPU: every picture can be made again by itself,
    # and on any device.
    generators = [torch.Generator().manual_seed(asked.seed + i) for i in range(asked.count)]
    takes = parameters_of(type(pipe))
    if further or (asked.count > 1 and "num_images_per_prompt" in takes):
        if asked.count > 1:
            call = {**call, "num_images_per_prompt": asked.count}
        together = generators if asked.count > 1 else generators[0]
        yield _enlarged(pipe, {**call, "generator": together}, further)
    else:
        for one in generators:
            yield pipe(**call, **({"generator": one} if "generator" in takes else {}))


def _enlarged(
    pipe: Any,
    call: dict[str, Any],
    further: Sequence[tuple[DiffusionPipeline, Mapping[str, Any]]],
) -> Any:
    """What the last stage makes, where `call` is that of the first."""
    if not further:
        return pipe(**call)
    from ..cascade import cascade

    named = inspect.signature(cascade).parameters
    shared = {name: value for name, value in call.items() if name in named}
    own = {name: value for name, value in call.items() if name not in named}
    stages = [pipe, *(stage for stage, _ in further)]
    return cascade(stages, **shared, options=[own, *(its_own for _, its_own in further)])


def _report_blackened(outputs: Sequence[Any]) -> None:
    """Say which pictures the checkpoint's safety checker made black."""
    names = ("nsfw_content_detected", "nsfw_detected", "watermark_detected")
    given = [[getattr(output, name, None) for name in names] for output in outputs]
    flags = [any(flagged) for lists in given for flagged in zip(*filter(None, lists))]
    for i, flagged in enumerate(flags, start=1):
        if flagged:
            print(
                f"autopipe: the checkpoint's safety checker made picture {i} black; "
                f"try another seed or prompt",
                file=sys.stderr,
            )
