"""`autopipe generate`: pictures from a prompt."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..registry import default_registry
from ..tasks import Task
from .checkpoint import CHECKPOINT_HELP, PRIOR_HELP, REVISION_HELP
from .command import Run, explain
from .loading import load_for, load_stage_for, look_up, look_up_stage
from .record import print_result, settings_of, settings_of_stages, write
from .request import Request, Stage, budget, count, fraction, number, request, seed, size

if TYPE_CHECKING:
    from ..pipeline.base import DiffusionPipeline

ABOUT = (
    "Make pictures from a prompt, and from a picture to change. The task follows from what is "
    "given: --image and --mask repaint the white part of the mask, --image alone changes the "
    "picture, and neither makes a new one. Every PNG holds its settings as text fields. With "
    "--num-images, picture i of NAME.png is NAME-i.png with the seed SEED + i - 1, and NAME.png "
    "shows them all. With --upscale a further checkpoint enlarges what --model makes. --steps, "
    "--guidance, --size and --scheduler are for --model; given again, for the first --upscale, "
    "and so on. --memory holds for all checkpoints together."
)
EXAMPLES = (
    'autopipe generate "a red circle on a white background" -o circle.png',
    'autopipe generate "a blue circle" --image circle.png --strength 0.8',
    'autopipe generate "a green star" --num-images 4 --seed 7 -o stars.png',
    'autopipe generate "a green star" --controlnet demo --control-image outline.png',
    'autopipe generate "a hut" --model ./my-checkpoint --scheduler DDIM --steps 30',
    'autopipe generate "a hut" --model ./one --upscale ./two --steps 50 --steps 30',
    'autopipe generate "a hut" --model ./my-checkpoint --memory 6GiB',
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    add = parser.add_argument
    add("prompt", metavar="PROMPT", help="what to draw")
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
        help=f"{', '.join(t.value for t in Task)} (default: by the pictures given)",
    )
    add("--prior", metavar="CHECKPOINT", help=PRIOR_HELP)
    add("--image", metavar="FILE", help="the picture to start from: a file or an address")
    add("--mask", metavar="FILE", help="what to repaint of it, in white")
    add(
        "--controlnet",
        metavar="MODEL",
        help="a ControlNet: a folder, a repository, or demo for that of the demo checkpoint",
    )
    add("--control-image", metavar="FILE", help="what the ControlNet follows, such as outlines")
    add(
        "--control-scale",
        metavar="X",
        type=number,
        help="how strongly the ControlNet steers (default: the pipeline's)",
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
        help="how much of --image to change, 0 to 1 (default: the pipeline's)",
    )
    add(
        "--size",
        metavar="WxH",
        type=size,
        action="append",
        help="pixels, as 512x768 or 512; an --image is resized to it (default: the model's)",
    )
    add("--seed", metavar="N", type=seed, help="same seed, same picture (default: a random one)")
    add("--num-images", metavar="N", type=count, default=1, help="how many (default: 1)")
    add(
        "--scheduler",
        metavar="NAME",
        action="append",
        help="such as DDIM or EulerDiscrete (default: the checkpoint's)",
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
        help="the PNG to write; one that is there is replaced (default: a new name made of "
        "prompt and seed; a folder gets such a name too)",
    )
    add(
        "--paste-unmasked",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with --mask: leave every pixel outside it exactly as it was (default: yes, where "
        "the pipeline can)",
    )
    add("--json", action="store_true", help="print files and settings as JSON")
    add("-q", "--quiet", action="store_true", help="no progress on stderr")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Make the pictures, write them and print where they are."""
    registry = default_registry()
    asked = request(arguments, registry)
    commit = look_up(asked, registry)
    upscale = [(stage, look_up_stage(stage.model, registry)) for stage in asked.upscale]
    if not arguments.quiet:
        print(f"Loading {asked.model}", file=sys.stderr)
    pipe = load_for(asked, registry, commit)
    pipe.set_progress_bar_config(desc=asked.task.value, disable=arguments.quiet)
    call = _call(asked, pipe)
    further: list[tuple[DiffusionPipeline, dict[str, Any]]] = []
    for stage, its_commit in upscale:
        before = [pipe, *(one for one, _ in further)]
        enlarge = load_stage_for(stage, asked, before, registry, its_commit)
        enlarge.set_progress_bar_config(desc="upscale", disable=arguments.quiet)
        further.append((enlarge, _stage_call(stage)))
    if asked.memory is not None and not arguments.quiet:
        for one in (pipe, *(one for one, _ in further)):
            print(one.explain(), file=sys.stderr)
    output = _enlarged(pipe, call, further) if further else pipe(**call)  # type: ignore[operator]
    _report_blackened(output)
    common = {
        **settings_of(asked, pipe, call, registry),
        **({"commit": commit} if commit else {}),
        **{stage: origin for stage, origin in pipe.origins.items() if stage},
        **({"upscale": ", ".join(_at_commit(s.model, c) for s, c in upscale)} if upscale else {}),
        **settings_of_stages(further),
    }
    print_result(write(asked, output.images, common), as_json=arguments.json)
    return 0


def _enlarged(
    pipe: DiffusionPipeline,
    call: dict[str, Any],
    further: Sequence[tuple[DiffusionPipeline, dict[str, Any]]],
) -> Any:
    """What the last stage makes, where `call` is that of the first."""
    from ..cascade import cascade

    named = inspect.signature(cascade).parameters
    shared = {name: value for name, value in call.items() if name in named}
    own = {name: value for name, value in call.items() if name not in named}
    stages = [pipe, *(stage for stage, _ in further)]
    return cascade(stages, **shared, options=[own, *(its_own for _, its_own in further)])


def _at_commit(name: str, commit: str | None) -> str:
    return f"{name}@{commit}" if commit else name


def _stage_call(stage: Stage) -> dict[str, Any]:
    """The arguments of a call that each stage has its own of."""
    width, height = stage.size or (None, None)
    wanted = {
        "num_inference_steps": stage.steps,
        "guidance_scale": stage.guidance,
        "width": width,
        "height": height,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _call(asked: Request, pipe: DiffusionPipeline) -> dict[str, Any]:
    """The arguments of the pipeline's call: what was asked for, and nothing else."""
    import torch

    from ..utils import load_image

    # One generator for each picture, on the CPU: every picture can be made again by itself,
    # and on any device.
    generators = [torch.Generator().manual_seed(asked.seed + i) for i in range(asked.count)]
    image = None if asked.image is None else load_image(asked.image)
    mask = None if asked.mask is None else load_image(asked.mask).convert("L")
    control = None if asked.control_image is None else load_image(asked.control_image)
    stage_call = _stage_call(asked)
    takes = inspect.signature(type(pipe).__call__).parameters
    if asked.size is not None and image is not None:
        from PIL.Image import Resampling

        image = image.resize(asked.size, Resampling.LANCZOS)
        mask = mask and mask.resize(asked.size, Resampling.NEAREST)
        if "width" not in takes:
            del stage_call["width"], stage_call["height"]
    optional = {
        "negative_prompt": asked.negative,
        "image": image,
        "mask_image": mask,
        "control_image": control,
        "controlnet_conditioning_scale": asked.control_scale,
        "strength": asked.strength,
        "generator": generators if asked.count > 1 else generators[0],
        "num_images_per_prompt": asked.count if asked.count > 1 else None,
        "paste_unmasked": asked.paste_unmasked or None if "paste_unmasked" in takes else None,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    return {"prompt": asked.prompt, **given, **stage_call}


def _report_blackened(output: Any) -> None:
    """Say which pictures the checkpoint's safety checker made black."""
    names = ("nsfw_content_detected", "nsfw_detected", "watermark_detected")
    given = [flags for name in names if (flags := getattr(output, name, None))]
    for i, flagged in enumerate(zip(*given), start=1):
        if any(flagged):
            print(
                f"autopipe: the checkpoint's safety checker made picture {i} black; "
                f"try another seed or prompt",
                file=sys.stderr,
            )
