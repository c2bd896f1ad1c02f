"""`autopipe generate`: pictures, frames or sounds, by whatever task is installed."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from autopipe.cli.checkpoint import CHECKPOINT_HELP, REVISION_HELP, declare_links
from autopipe.cli.command import Run, explain, option
from autopipe.cli.options import PROMPT
from autopipe.cli.text import say
from autopipe.registry import default_registry

from .arguments import assignment, budget, count, fraction, number, seed, size
from .inputs import declare_inputs
from .loading import class_of, device_of, load_for, load_stage_for
from .record import print_result, settings_of, settings_of_stages, write
from .rehearsal import check_call
from .request import Request, request
from .values import call_of, parameters_of

if TYPE_CHECKING:
    from autopipe.pipeline.base import DiffusionPipeline

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
    registry, add, take = default_registry(), parser.add_argument, partial(option, parser)
    default = "(default: the pipeline's)"
    tasks = ", ".join(registry.tasks)
    addons, engines = (", ".join(registry.of(kind)) or "none" for kind in ("addon", "engine"))
    add(PROMPT, metavar=PROMPT, nargs="?", help="what to draw, for tasks that start from a text")
    take("--model CHECKPOINT", f"{CHECKPOINT_HELP} (default: the demo of an installed family)")
    about = "a checkpoint that enlarges what --model makes; give it again for what enlarges that"
    take("--upscale CHECKPOINT", f"{about} (default: none)", many=True)
    take("--task TASK", f"{tasks} (default: by the inputs given)")
    take("--negative TEXT", "what not to draw (default: nothing)")
    take("--steps N", f"denoising steps {default}", type=count, many=True)
    take("--guidance X", f"how closely to follow the prompt {default}", type=number, many=True)
    take("--strength X", f"how much of the picture to change, 0 to 1 {default}", type=fraction)
    about = "pixels, as 512x768 or 512; input pictures are resized to it (default: the model's)"
    take("--size WxH", about, type=size, many=True)
    take("--seed N", "same seed, same picture (default: a random one)", type=seed)
    take("--num-images N", "how many (default: 1)", type=count, default=1)
    about = "such as DDIM or EulerDiscrete (default: the checkpoint's)"
    take("--scheduler NAME", about, many=True)
    about = "any argument of the pipeline's call, as JSON or text; @FILE is a picture"
    take("--set NAME=VALUE", about, type=assignment, many=True)
    about = f"an add-on, with what it loads; there are: {addons}"
    take("--attach NAME[=FILE]", about, many=True)
    about = f"what runs the networks, or one of them, instead of torch; there are: {engines}"
    take("--engine [PART=]NAME", about, many=True)
    take("--revision NAME", REVISION_HELP)
    declare_links(parser)
    about = "of the weight files, such as fp16; auto takes what there is (default: none)"
    take("--variant NAME", about)
    add(
        "--dtype",
        choices=("auto", "float32", "float16", "bfloat16"),
        help="of the weights; auto is that of the files (default: float32, or with --variant "
        "that of the files)",
    )
    take("--device NAME", "cpu, cuda, cuda:1, mps (default: the fastest here)")
    about = (
        "what to take of the device, such as 6GiB, or auto for what is free; weights rest in main "
        "memory where they must (default: no limit)"
    )
    take("--memory SIZE", about, type=budget)
    about = "with --memory and without an accelerator: where weights may rest on the disk"
    take("--offload-folder FOLDER", f"{about} (default: nowhere)")
    add(
        "--offload",
        choices=("model", "sequential"),
        help="let weights rest in main memory: networks come to the device one by one, or their "
        "layers, which takes least and is slow (default: no)",
    )
    about = (
        "the file to write, a PNG for pictures; one that is there is replaced (default: a new "
        "name made of prompt and seed; a folder gets such a name too)"
    )
    take("-o --output FILE", about)
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
        say(f"Loading {asked.model}", error=True)
    call = call_of(asked, class_of(asked, registry), registry)
    device_of(asked)
    check_call(asked, call, registry)
    pipe = load_for(asked, registry)
    further: list[tuple[DiffusionPipeline, Mapping[str, Any]]] = []
    for stage in asked.upscale:
        before = [pipe, *(one for one, _ in further)]
        further.append((load_stage_for(stage, asked, before, registry), stage.call))
    names = [asked.task or "generate", *["upscale"] * len(further)]
    for one, name in zip([pipe, *(one for one, _ in further)], names):
        one.set_progress_bar_config(desc=str(name), disable=arguments.quiet)
        if asked.memory is not None and not arguments.quiet:
            say(one.explain(), error=True)
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
    repeats = asked.task.repeats if asked.task and not further else "num_images_per_prompt"
    if further or (asked.count > 1 and repeats in takes):
        if asked.count > 1 and repeats:
            call = {**call, repeats: asked.count}
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
    from autopipe.cascade import cascade

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
            say(
                f"autopipe: the checkpoint's safety checker made picture {i} black; "
                f"try another seed or prompt",
                error=True,
            )
