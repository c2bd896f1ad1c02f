"""`autopipe generate`: pictures from a prompt."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..registry import Registry, default_registry
from ..tasks import Task
from .checkpoint import CHECKPOINT_HELP, REVISION_HELP, open_checkpoint
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
    "shows them all."
)
EXAMPLES = (
    'autopipe generate "a red circle on a white background" -o circle.png',
    'autopipe generate "a blue circle" --image circle.png --strength 0.8',
    'autopipe generate "a green star" --num-images 4 --seed 7 -o stars.png',
    'autopipe generate "a green star" --controlnet demo --control-image outline.png',
    'autopipe generate "a hut" --model ./my-checkpoint --scheduler DDIM --steps 30',
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
    commit = _look_up(asked, registry)
    if not arguments.quiet:
        print(f"Loading {asked.model}", file=sys.stderr)
    pipe = _load(asked, registry, commit)
    pipe.set_progress_bar_config(desc=asked.task.value, disable=arguments.quiet)
    call = _call(asked, pipe)
    output = pipe(**call)  # type: ignore[operator]
    _report_blackened(output)
    common = {**_settings(asked, pipe, call, registry), **({"commit": commit} if commit else {})}
    print_result(write(asked, output.images, common), as_json=arguments.json)
    return 0


def _look_up(asked: Request, registry: Registry) -> str | None:
    """Make sure that the checkpoint can do the task; the commit where it is a repository's.

    Done before anything heavy is imported, so that a mistake is known at once.
    """
    checkpoint = open_checkpoint(asked.model, registry, asked.revision)
    condition = {} if asked.controlnet is None else {"controlnet": True}
    registry.resolve(checkpoint.index.class_name, asked.task, condition)
    return checkpoint.commit


def _load(asked: Request, registry: Registry, commit: str | None) -> DiffusionPipeline:
    """The pipeline for the task, on its device, with the scheduler asked for."""
    from .. import auto

    device = pick_device(asked.device)
    opener: Any = {
        Task.TEXT2IMAGE: auto.AutoPipelineForText2Image,
        Task.IMAGE2IMAGE: auto.AutoPipelineForImage2Image,
        Task.INPAINT: auto.AutoPipelineForInpainting,
    }[asked.task]
    wanted = {"torch_dtype": asked.dtype, "variant": asked.variant, "revision": commit}
    options = {name: value for name, value in wanted.items() if value is not None}
    if asked.controlnet is not None:
        dtype = {} if asked.dtype is None else {"torch_dtype": asked.dtype}
        controlnet = registry.load("ControlNetModel").from_pretrained(asked.controlnet, **dtype)
        options["controlnet"] = controlnet
    pipe = opener.from_pretrained(asked.model, **options)
    if asked.controlnet is not None:
        # With "auto" its files may have another dtype than those of the checkpoint.
        controlnet.to(pipe.unet.dtype)
    pipe.to(device)
    if asked.scheduler is not None:
        if getattr(pipe, "scheduler", None) is None:
            raise ArgumentError(f"{type(pipe).__name__} has no scheduler; leave out --scheduler")
        pipe.scheduler = registry.load(asked.scheduler).from_config(pipe.scheduler.config)
    return pipe


def pick_device(name: str | None) -> str:
    """The device called `name`; without a name an accelerator if there is one.

    Raises:
        ArgumentError: there is no such device here.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    here = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + here
    if name is None:
        return here[0]
    if (f"{name}:0" if name == "cuda" else name) not in here:
        raise ArgumentError(f"there is no device {name!r} here; there are {', '.join(here)}")
    return name


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
    for i, flagged in enumerate(getattr(output, "nsfw_content_detected", None) or (), start=1):
        if flagged:
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
