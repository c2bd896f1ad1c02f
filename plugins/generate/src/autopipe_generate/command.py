"""`autopipe generate`: generates images, frames or sounds with the installed tasks."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from autopipe.cli.arguments import assignment, budget, count, fraction, number, seed, size
from autopipe.cli.checkpoint import CHECKPOINT_HELP, REVISION_HELP, declare_links
from autopipe.cli.command import Run, explain, option
from autopipe.cli.options import PROMPT
from autopipe.cli.text import say
from autopipe.registry import default_registry

from .inputs import declare_inputs
from .loading import class_of, device_of, load_for, load_stage_for
from .record import print_result, settings_of, settings_of_stages, write
from .rehearsal import check_call
from .request import Request, fast_addons, request_of
from .values import call_of, parameters_of

if TYPE_CHECKING:
    from autopipe.pipeline.base import DiffusionPipeline
    from autopipe.registry import Registry

ABOUT = (
    "Generate images from a prompt, from an image to change, or whatever the installed tasks "
    "generate from their inputs. The task is chosen by the given inputs, among those that the "
    "checkpoint supports. Every PNG contains its settings as text fields. With --num-images, image "
    "i of NAME.png is NAME-i.png with the seed SEED + i - 1, and NAME.png shows all of them. With "
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
    registry, add, take = default_registry(), parser.add_argument, partial(option, parser)
    default = "(default: the pipeline's)"
    tasks = ", ".join(registry.tasks)
    addons, engines = (", ".join(registry.of(kind)) or "none" for kind in ("addon", "engine"))
    add(PROMPT, metavar=PROMPT, nargs="?", help="the text to draw, for tasks with a prompt")
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
    take("--num-images N", "the number of images (default: 1)", type=count, default=1)
    about = "the scheduler, such as DDIM or EulerDiscrete (default: the checkpoint's)"
    take("--scheduler NAME", about, many=True)
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
    take("--device NAME", "cpu, cuda, cuda:1, mps (default: the fastest on this machine)")
    about = (
        "the device memory to use, such as 6GiB, or auto for the free memory; weights are "
        "offloaded to main memory if necessary (default: no limit)"
    )
    take("--memory SIZE", about, type=budget)
    about = "with --memory and without an accelerator: a folder for offloading weights to disk"
    take("--offload-folder FOLDER", f"{about} (default: none)")
    add(
        "--offload",
        choices=("model", "sequential"),
        help="keep weights in main memory, and move networks (model) or their layers (sequential, "
        "which takes the least memory and is slow) to the device one by one (default: no)",
    )
    about = (
        "the file to write, a PNG for images; an existing file is replaced (default: a new name "
        "from prompt and seed; also used in a given folder)"
    )
    take("-o --output FILE", about)
    add(
        "--paste-unmasked",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with a mask: keep every pixel outside it exactly as it was (default: yes, if the "
        "pipeline supports it)",
    )
    add("--json", action="store_true", help="print files and settings as JSON")
    add("-q", "--quiet", action="store_true", help="no progress on stderr")
    declare_inputs(parser, registry)
    return run


def run(arguments: argparse.Namespace) -> int:
    """Generate the results, write them, and print their files."""
    registry = default_registry()
    request = request_of(arguments, registry)
    if not arguments.quiet:
        say(f"Loading {request.model}", error=True)
    call = call_of(request, class_of(request, registry), registry)
    device = device_of(request)
    from autopipe.placement.allocator import keeping_memory

    with keeping_memory(device, in_new_threads=True):
        return _draw(request, call, registry, quiet=arguments.quiet, as_json=arguments.json)


def _draw(
    request: Request, call: dict[str, Any], registry: Registry, *, quiet: bool, as_json: bool
) -> int:
    """Generate the results of a checked request, write them, and print their files."""
    check_call(request, call, registry)
    pipe = load_for(request, registry)
    further: list[tuple[DiffusionPipeline, Mapping[str, Any]]] = []
    for stage in request.upscale:
        before = [pipe, *(one for one, _ in further)]
        further.append((load_stage_for(stage, request, before, registry), stage.call))
    names = [request.task or "generate", *["upscale"] * len(further)]
    for one, name in zip([pipe, *(one for one, _ in further)], names):
        one.set_progress_bar_config(desc=str(name), disable=quiet)
        if request.memory is not None and not quiet:
            say(one.explain(), error=True)
    outputs = list(_outputs(request, pipe, call, further))
    _report_blackened(outputs)
    common = {
        **settings_of(request, pipe, call, registry),
        **settings_of_stages(request, further),
    }
    print_result(write(request, pipe, outputs, common), as_json=as_json)
    for name, loss in fast_addons(registry).items():
        if name in request.fast and name in pipe.attachments and not quiet:
            say(f"--fast attached {name}: {loss}", error=True)
    return 0


def _outputs(
    request: Request,
    pipe: Any,
    call: dict[str, Any],
    further: Sequence[tuple[DiffusionPipeline, Mapping[str, Any]]],
) -> Iterator[Any]:
    """Yield the outputs of the pipeline, or of the last stage; several calls if necessary."""
    import torch

    # One generator for each image, on the CPU: every image can be reproduced separately and on
    # any device.
    generators = [torch.Generator().manual_seed(request.seed + i) for i in range(request.count)]
    takes = parameters_of(type(pipe))
    repeats = request.task.repeats if request.task and not further else "num_images_per_prompt"
    if further or (request.count > 1 and repeats in takes):
        if request.count > 1 and repeats:
            call = {**call, repeats: request.count}
        together = generators if request.count > 1 else generators[0]
        yield _enlarged(pipe, {**call, "generator": together}, further)
    else:
        for one in generators:
            yield pipe(**call, **({"generator": one} if "generator" in takes else {}))


def _enlarged(
    pipe: Any,
    call: dict[str, Any],
    further: Sequence[tuple[DiffusionPipeline, Mapping[str, Any]]],
) -> Any:
    """Return the output of the last stage; `call` has the arguments of the first."""
    if not further:
        return pipe(**call)
    from autopipe.cascade import cascade

    named = inspect.signature(cascade).parameters
    shared = {name: value for name, value in call.items() if name in named}
    own = {name: value for name, value in call.items() if name not in named}
    stages = [pipe, *(stage for stage, _ in further)]
    return cascade(stages, **shared, options=[own, *(options for _, options in further)])


def _report_blackened(outputs: Sequence[Any]) -> None:
    """Report the images that the checkpoint's safety checker made black."""
    names = ("nsfw_content_detected", "nsfw_detected", "watermark_detected")
    given = [[getattr(output, name, None) for name in names] for output in outputs]
    flags = [any(flagged) for lists in given for flagged in zip(*filter(None, lists))]
    for i, flagged in enumerate(flags, start=1):
        if flagged:
            say(
                f"autopipe: the checkpoint's safety checker made image {i} black; "
                f"try another seed or prompt",
                error=True,
            )
