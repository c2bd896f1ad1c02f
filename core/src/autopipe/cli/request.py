"""What `autopipe generate` is asked for, checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, ImageFileError, MissingPluginError, nearest
from ..registry import Registry
from ..sizes import parse_size
from ..tasks import Task
from .families import no_family_cure
from .names import check_writable, output_name

PREFERRED_DEMO = "stable_diffusion"
CONTROLNET_DEMO = "demo:controlnet"
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is asked of one checkpoint. What is None is left to the pipeline's own default."""

    model: str
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    scheduler: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request(Stage):
    """One run of `generate`: its first stage, and what there is besides."""

    prompt: str
    task: Task
    output: Path
    seed: int
    count: int
    upscale: tuple[Stage, ...] = ()
    negative: str | None = None
    prior: str | None = None
    image: str | None = None
    mask: str | None = None
    controlnet: str | None = None
    control_image: str | None = None
    control_scale: float | None = None
    strength: float | None = None
    revision: str | None = None
    variant: str | None = None
    dtype: str | None = None
    device: str | None = None
    memory: str | None = None
    offload_folder: str | None = None
    offload: str | None = None
    paste_unmasked: bool = True


def request(arguments: argparse.Namespace, registry: Registry) -> Request:
    """The request that the arguments make.

    Raises:
        ArgumentError: they contradict each other, or ask for what no installed family has.
        ImageFileError: an input picture is absent, or the output can't be written.
        MissingPluginError: no model is named and no family ships a demo.
    """
    task = _task(arguments)
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    _check_control(arguments)
    _check_memory(arguments)
    for picture in (arguments.image, arguments.mask, arguments.control_image):
        if picture and not _is_address(picture) and not Path(picture).is_file():
            raise ImageFileError(f"there is no picture {picture!r}")
    output = output_name(arguments.output, arguments.prompt, seed, arguments.num_images)
    check_writable(output)
    first, *others = _stages(arguments, registry)
    return Request(
        **first,
        prompt=arguments.prompt,
        task=task,
        output=output,
        seed=seed,
        count=arguments.num_images,
        negative=arguments.negative,
        upscale=tuple(Stage(**stage) for stage in others),
        prior=arguments.prior,
        image=arguments.image,
        mask=arguments.mask,
        controlnet=CONTROLNET_DEMO if arguments.controlnet == "demo" else arguments.controlnet,
        control_image=arguments.control_image,
        control_scale=arguments.control_scale,
        strength=arguments.strength,
        revision=arguments.revision,
        variant=arguments.variant,
        dtype=arguments.dtype,
        device=arguments.device,
        memory=arguments.memory,
        offload_folder=arguments.offload_folder,
        offload=arguments.offload,
        paste_unmasked=arguments.paste_unmasked,
    )


def _task(arguments: argparse.Namespace) -> Task:
    """The task asked for, or the one that the pictures given imply."""
    has_image, has_mask = arguments.image is not None, arguments.mask is not None
    if has_mask and not has_image:
        raise ArgumentError("--mask says which part of --image to repaint; give --image too")
    implied = Task.INPAINT if has_mask else Task.IMAGE2IMAGE if has_image else Task.TEXT2IMAGE
    if arguments.task is None:
        task = implied
    else:
        task = Task.parse(arguments.task)
    if task is not implied:
        needs = {
            Task.TEXT2IMAGE: "takes neither --image nor --mask",
            Task.IMAGE2IMAGE: "needs --image and takes no --mask",
            Task.INPAINT: "needs both --image and --mask",
        }
        raise ArgumentError(f"the task {task.value} {needs[task]}")
    if task is Task.TEXT2IMAGE and arguments.strength is not None:
        raise ArgumentError(
            "--strength says how much of --image to change; give --image too, or leave it out"
        )
    return task


def _check_control(arguments: argparse.Namespace) -> None:
    if arguments.controlnet is None:
        for name in ("control_image", "control_scale"):
            if getattr(arguments, name) is not None:
                option = name.replace("_", "-")
                raise ArgumentError(f"--{option} is for a ControlNet; give --controlnet too")
    elif arguments.control_image is None:
        raise ArgumentError("--controlnet needs the picture that it follows; give --control-image")


def _check_memory(arguments: argparse.Namespace) -> None:
    if arguments.memory is not None and arguments.offload is not None:
        raise ArgumentError("--memory chooses whether to offload; give it or --offload")
    if arguments.offload_folder is not None and arguments.memory is None:
        raise ArgumentError("--offload-folder is for --memory; give that too")


def _stages(arguments: argparse.Namespace, registry: Registry) -> list[dict[str, Any]]:
    """What is asked of each checkpoint: the first value of an option, the second, ..."""
    models = [arguments.model or _demo(registry), *(arguments.upscale or ())]
    stages: list[dict[str, Any]] = [{"model": model} for model in models]
    for name in ("steps", "guidance", "size", "scheduler"):
        values = getattr(arguments, name) or ()
        if len(values) > len(models):
            raise ArgumentError(
                f"--{name} is given {len(values)} times; give it once for --model, and once for "
                f"each --upscale"
            )
        for stage, value in zip(stages, values):
            stage[name] = _scheduler(value, registry) if name == "scheduler" else value
    return stages


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _demo(registry: Registry) -> str:
    """The small checkpoint of an installed family."""
    # What a condition ships is no checkpoint of its own.
    families = registry.families.items()
    names = [name for name, family in families if family.demo and not family.conditions]
    if not names:
        raise MissingPluginError(
            f"no installed family ships a demo checkpoint, so --model is needed. "
            f"For a family with a demo: {no_family_cure()}"
        )
    return "demo:" + (PREFERRED_DEMO if PREFERRED_DEMO in names else names[0])


def _scheduler(name: str, registry: Registry) -> str:
    """The full name of the installed scheduler that `name` means."""
    installed = sorted(
        component.name
        for family in registry.families.values()
        for component in family.components
        if component.kind == "scheduler"
    )
    short = {full.removesuffix("Scheduler"): full for full in installed}
    plain = {text.lower(): full for text, full in (*short.items(), *zip(installed, installed))}
    found = plain.get(name.lower())
    if found is None:
        hint = nearest(name, [*short, *installed])
        raise ArgumentError(
            f"there is no scheduler {name!r}.{hint} Installed are: {', '.join(short) or 'none'}"
        )
    return found


# Types of argparse: they say what is wrong in a way that it shows to the user.


def count(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1, 100_000)


def seed(text: str) -> int:
    """A whole number that a random generator takes."""
    return _whole(text, 0, LARGEST_SEED)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def budget(text: str) -> str:
    """`auto`, or a number of bytes such as `6GiB`."""
    if text != "auto":
        try:
            parse_size(text)
        except ArgumentError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no size; write it as 6GiB, or auto"
            ) from None
    return text


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels, from `512x768`, or `512` for a square."""
    width, cross, height = text.lower().partition("x")
    if not width.isdecimal() or not (height if cross else width).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 512x768 or 512")
    pixels = int(width), int(height if cross else width)
    if min(pixels) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is an empty picture")
    return pixels


def _whole(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
    return value
