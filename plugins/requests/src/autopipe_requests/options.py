"""The options of commands that describe requests: those of every call, and of what is installed.

In the parsed arguments, an option that depends on installed packages is stored under itself, such
as `--image`, so that names can't collide.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from typing import Any

from autopipe.cli.arguments import assignment, budget, count, fraction, number, seed, size
from autopipe.cli.checkpoint import CHECKPOINT_HELP, REVISION_HELP, declare_links
from autopipe.cli.command import option
from autopipe.cli.options import PROMPT, add_option, declare_stages, given_of
from autopipe.cli.text import help_text
from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.tasks import Input

from .inputs import Text, fast_addons, key_of
from .placement import Placement

_METAVARS = {"label": "LABEL", "number": "X", "text": "TEXT", "value": "JSON"}

_PER_STAGE = ("steps", "guidance", "size", "scheduler")
_PLAIN = (
    "model", "task", "negative", "strength", "seed", "revision", "config", "variant", "dtype",
    "attach", "engine",
)  # fmt: skip


def spelled(key: str) -> str:
    """Return the option of a key."""
    return PROMPT if key == "prompt" else "--" + key.replace("_", "-")


def declare_request(parser: argparse.ArgumentParser, registry: Registry) -> None:
    """Add the options that describe a request, except for those of the installed inputs."""
    add, take = parser.add_argument, partial(option, parser)
    default = "(default: the pipeline's)"
    tasks = ", ".join(registry.tasks)
    addons, engines = (", ".join(registry.of(kind)) or "none" for kind in ("addon", "engine"))
    take("--model CHECKPOINT", f"{CHECKPOINT_HELP} (default: the demo of an installed family)")
    about = "a checkpoint that enlarges the images of --model; repeat it to enlarge them further"
    take("--upscale CHECKPOINT", f"{about} (default: none)", many=True)
    take("--task TASK", f"{tasks} (default: by the given inputs)")
    take("--negative TEXT", "the text not to draw (default: nothing)")
    take("--steps N", f"denoising steps {default}", type=count, many=True)
    take("--guidance X", f"how closely to follow the prompt {default}", type=number, many=True)
    take("--strength X", f"how much of the image to change, 0 to 1 {default}", type=fraction)
    about = "pixels, as 512x768 or 512; input images are resized to it (default: the model's)"
    take("--size WxH", about, type=size, many=True)
    take("--seed N", "the same seed gives the same image (default: random)", type=seed)
    about = "the scheduler, such as DDIM, EulerDiscrete, or a name of other programs, such as"
    take("--scheduler NAME", f"{about} 'DPM++ 2M Karras' (default: the checkpoint's)", many=True)
    about = "any argument of the pipeline's call, as JSON or text; @FILE is an image"
    take("--set NAME=VALUE", about, type=assignment, many=True)
    about = f"an add-on, with the file that it loads and a strength; installed: {addons}"
    take("--attach NAME[=FILE[:STRENGTH]]", about, many=True)
    fast = "; ".join(f"{name}, {loss}" for name, loss in fast_addons(registry).items()) or "none"
    about = "attach the add-ons that make images faster, and print what is lost; installed: "
    add("--fast", action="store_true", help=about + fast.replace("%", "%%"))
    about = (
        f"an engine that runs all networks, or those named, as in unet=compile,vae=eager, instead "
        f"of torch's eager mode; installed: {engines}"
    )
    take("--engine [PART=]NAME", about, many=True)
    take("--revision NAME", REVISION_HELP)
    about = "a folder or repository with what --model lacks, if that is a single file"
    take("--config CHECKPOINT", f"{about} (default: the family's own)")
    declare_links(parser)
    about = "the variant of the weight files, such as fp16; auto uses any (default: none)"
    take("--variant NAME", about)
    add(
        "--dtype",
        choices=("auto", "float32", "float16", "bfloat16"),
        help="the dtype of the weights; auto is that of the files (default: float32, or with "
        "--variant that of the files)",
    )
    add(
        "--paste-unmasked",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="with a mask: keep every pixel outside it exactly as it was (default: yes, if the "
        "pipeline supports it)",
    )


def declare_device(parser: argparse.ArgumentParser) -> None:
    """Add the options of the device of calls, and of offloading to main memory."""
    about = "cpu, cuda, cuda:1, mps (default: the fastest on this machine)"
    option(parser, "--device NAME", about)
    parser.add_argument(
        "--offload",
        choices=("model", "sequential"),
        help="keep weights in main memory, and move networks (model) or their layers (sequential, "
        "which takes the least memory and is slow) to the device one by one (default: no)",
    )


def declare_placement(parser: argparse.ArgumentParser) -> None:
    """Add the options of where pipelines compute and keep their weights."""
    declare_device(parser)
    about = (
        "the device memory to use, such as 6GiB, or auto for the free memory; weights are "
        "offloaded to main memory if necessary (default: no limit)"
    )
    option(parser, "--memory SIZE", about, type=budget)
    about = "with --memory and without an accelerator: a folder for offloading weights to disk"
    option(parser, "--offload-folder FOLDER", f"{about} (default: none)")


def declare_inputs(parser: argparse.ArgumentParser, registry: Registry) -> None:
    """Add the options of the installed plugins, except for those that `parser` already has."""

    def add_inputs(group: Any, inputs: Iterable[Input]) -> None:
        for one in inputs:
            if one.name != "prompt":
                about = (one.help or one.name) + (
                    "" if one.required else " (default: the pipeline's)"
                )
                add_option(group, spelled(key_of(one)), _METAVARS.get(one.kind, "FILE"), about)

    group = parser.add_argument_group("inputs of the installed tasks")
    for task in registry.tasks:
        add_inputs(group, task.inputs)
    group = parser.add_argument_group("options of the installed plugins")
    for keyword, condition in registry.conditions.items():
        if condition.target is not None:
            about = condition.help or f"a model for {keyword}"
            about += ": a folder, a repository, or demo for the plugin's own"
            add_option(group, f"--{keyword}", "MODEL", about)
            add_inputs(group, condition.inputs)
    for name, addon in registry.of("addon").items():
        if addon.option and f"--{addon.option}" not in group._option_string_actions:
            about = f"{addon.help or f'attach {name}'}: a file, a folder, a repository or a demo"
            about = help_text(f"{about}; STRENGTH is a number such as 0.7; repeat it for several")
            words = f"--{addon.option} FILE[:STRENGTH]"
            option(group, words, f"{about} (default: none)", many=True, dest=f"--{addon.option}")
        add_inputs(group, addon.inputs)
    declare_stages(group, registry)


def given_in(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say about a request, as `Completion.complete` takes it.

    Raises:
        ArgumentError: if an option that applies to one checkpoint is given too often.
    """
    found: dict[str, Any] = {name: getattr(arguments, name) for name in _PLAIN}
    if arguments.paste_unmasked is not None:
        found["paste_unmasked"] = arguments.paste_unmasked
    found["fast"] = arguments.fast or None
    stages: list[dict[str, Any]] = [found]
    stages += [{"model": one} for one in arguments.upscale or ()]
    for name in _PER_STAGE:
        values = getattr(arguments, name) or ()
        if len(values) > len(stages):
            raise ArgumentError(
                f"--{name} is given {len(values)} times; give it once for --model, and once for "
                f"each --upscale"
            )
        for stage, value in zip(stages, values):
            stage[name] = value
    found["upscale"] = stages[1:] or None
    for name, value in given_of(arguments).items():
        key = "prompt" if name == PROMPT else name.removeprefix("--").replace("-", "_")
        found[key] = [Text(one) for one in value] if isinstance(value, list) else Text(value)
    found["arguments"] = {name: Text(text) for name, text in arguments.set or ()}
    return {name: value for name, value in found.items() if value is not None}


def placement_in(arguments: argparse.Namespace) -> Placement:
    """Return where the pipelines compute, as the options say.

    Raises:
        ArgumentError: if options contradict each other.
    """
    if arguments.memory is not None and arguments.offload is not None:
        raise ArgumentError("--memory and --offload both control offloading; give only one of them")
    if arguments.offload_folder is not None and arguments.memory is None:
        raise ArgumentError("--offload-folder needs --memory; also give --memory")
    names = ("device", "memory", "offload", "offload_folder")
    return Placement(**{name: getattr(arguments, name) for name in names})
