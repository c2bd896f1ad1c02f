"""`autopipe generate`: pictures from a prompt."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry import Registry, default_registry
from ..tasks import Task
from .checkpoint import CHECKPOINT_HELP, REVISION_HELP
from .loading import load_for, load_stage_for, look_up, look_up_stage
from .names import single_names
from .request import Request, count, fraction, number, request, seed, size
from .requirements import installed_version

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..pipeline.base import DiffusionPipeline

HELP = "make pictures from a prompt"
ABOUT = (
    "Make pictures from a prompt, and from a picture to change. The task follows from what is "
    "given: --image and --mask repaint the white part of the mask, --image alone changes the "
    "picture, and neither makes a new one. Every PNG holds its settings as text fields. With "
    "--num-images, picture i of NAME.png is NAME-i.png with the seed SEED + i - 1, and NAME.png "
    "shows them all. With --upscale a further checkpoint enlarges what --model makes; steps, "
    "guidance, strength, size and scheduler are those of --model alone."
)
EXAMPLES = (
    'autopipe generate "a red circle on a white background" -o circle.png',
    'autopipe generate "a blue circle" --image circle.png --strength 0.8',
    'autopipe generate "a green star" --num-images 4 --seed 7 -o stars.png',
    'autopipe generate "a green star" --controlnet demo --control-image outline.png',
    'autopipe generate "a hut" --model ./my-checkpoint --scheduler DDIM --steps 30',
    'autopipe generate "a hut" --model ./first-stage --upscale ./second-stage',
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
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
    add("--steps", metavar="N", type=count, help="denoising steps (default: the pipeline's)")
    add(
        "--guidance",
        metavar="X",
        type=number,
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
        help="pixels, as 512x768 or 512; an --image is resized to it (default: the model's)",
    )
    add("--seed", metavar="N", type=seed, help="same seed, same picture (default: a random one)")
    add("--num-images", metavar="N", type=count, default=1, help="how many (default: 1)")
    add(
        "--scheduler",
        metavar="NAME",
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


def run(arguments: argparse.Namespace) -> int:
    """Make the pictures, write them and print where they are."""
    registry = default_registry()
    asked = request(arguments, registry)
    commit = look_up(asked, registry)
    upscale = [(name, look_up_stage(name, registry)) for name in asked.upscale]
    if not arguments.quiet:
        print(f"Loading {asked.model}", file=sys.stderr)
    pipe = load_for(asked, registry, commit)
    pipe.set_progress_bar_config(desc=asked.task.value, disable=arguments.quiet)
    call = _call(asked, pipe)
    further = []
    for name, its_commit in upscale:
        stage = load_stage_for(name, asked, pipe, its_commit)
        stage.set_progress_bar_config(desc="upscale", disable=arguments.quiet)
        further.append(stage)
    output = _enlarged(pipe, further, call) if further else pipe(**call)  # type: ignore[operator]
    _report_blackened(output)
    common = {
        **_settings(asked, pipe, call, registry),
        **({"commit": commit} if commit else {}),
        **{stage: origin for stage, origin in pipe.origins.items() if stage},
        **({"upscale": ", ".join(map(_at_commit, upscale))} if upscale else {}),
    }
    print_result(write(asked, output.images, common), as_json=arguments.json)
    return 0


def _enlarged(
    pipe: DiffusionPipeline, further: list[DiffusionPipeline], call: dict[str, Any]
) -> Any:
    """What the last stage makes, where `call` is that of the first."""
    from ..cascade import cascade

    named = inspect.signature(cascade).parameters
    shared = {name: value for name, value in call.items() if name in named}
    own = {name: value for name, value in call.items() if name not in named}
    return cascade([pipe, *further], **shared, options=[own])


def _at_commit(checkpoint: tuple[str, str | None]) -> str:
    return "@".join(part for part in checkpoint if part)


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
    width, height = asked.size or (None, None)
    takes = inspect.signature(type(pipe).__call__).parameters
    if asked.size is not None and image is not None:
        from PIL.Image import Resampling

        image = image.resize(asked.size, Resampling.LANCZOS)
        mask = mask and mask.resize(asked.size, Resampling.NEAREST)
        if "width" not in takes:
            width = height = None
    optional = {
        "negative_prompt": asked.negative,
        "image": image,
        "mask_image": mask,
        "control_image": control,
        "controlnet_conditioning_scale": asked.control_scale,
        "num_inference_steps": asked.steps,
        "guidance_scale": asked.guidance,
        "strength": asked.strength,
        "width": width,
        "height": height,
        "generator": generators if asked.count > 1 else generators[0],
        "num_images_per_prompt": asked.count if asked.count > 1 else None,
        "paste_unmasked": asked.paste_unmasked or None if "paste_unmasked" in takes else None,
    }
    return {"prompt": asked.prompt, **{k: v for k, v in optional.items() if v is not None}}


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


def _settings(
    asked: Request, pipe: DiffusionPipeline, call: Mapping[str, Any], registry: Registry
) -> dict[str, Any]:
    """What all pictures of this run have in common, defaults of the pipeline included."""
    parameters = inspect.signature(type(pipe).__call__).parameters

    def used(name: str) -> Any:
        return call.get(name, parameters[name].default if name in parameters else None)

    scheduler = getattr(pipe, "scheduler", None)
    cls = type(pipe).__name__
    dist = registry.plugins[registry.resolve(cls).family].dist
    found = {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative,
        "steps": used("num_inference_steps"),
        "guidance": used("guidance_scale"),
        "strength": None if asked.image is None else used("strength"),
        "scheduler": type(scheduler).__name__ if scheduler is not None else None,
        "image": asked.image and Path(asked.image).name,
        "mask": asked.mask and Path(asked.mask).name,
        "controlnet": asked.controlnet,
        "control_image": asked.control_image and Path(asked.control_image).name,
        "control_scale": used("controlnet_conditioning_scale"),
        "paste_unmasked": used("paste_unmasked"),
        "model": asked.model,
        "task": asked.task.value,
        "class": cls,
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "device": str(pipe.device),
        **{name: installed_version(name) for name in ("autopipe", dist, "torch")},
    }
    return {name: value for name, value in found.items() if value is not None}


def write(
    asked: Request, images: list[Image], common: Mapping[str, Any]
) -> list[tuple[Path, dict[str, Any]]]:
    """Write every picture, and the sheet of several; the files with their settings."""
    from .pictures import contact_sheet, write_png

    files = single_names(asked.output, len(images))
    written = []
    for i, (image, file) in enumerate(zip(images, files)):
        settings = {**common, "seed": asked.seed + i, "size": f"{image.width}x{image.height}"}
        write_png(image, file, settings)
        written.append((file, settings))
    if len(images) > 1:
        sheet = contact_sheet(images)
        last = asked.seed + len(images) - 1
        settings = {
            **common,
            "seed": f"{asked.seed} to {last}",
            "size": f"{sheet.width}x{sheet.height}",
        }
        write_png(sheet, asked.output, settings)
        written.append((asked.output, settings))
    return written


def print_result(written: list[tuple[Path, dict[str, Any]]], *, as_json: bool) -> None:
    """Print the files, a line each, or as JSON with their settings."""
    if as_json:
        print(json.dumps([{"file": str(file), **settings} for file, settings in written], indent=2))
    else:
        print("\n".join(str(file) for file, _ in written))
