"""`autopipe convert`: writes a single file as a folder, or a folder as a single file."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from ..errors import ArgumentError
from .checkpoint import CHECKPOINT_HELP, REVISION_HELP, declare_links
from .command import Run, explain, option
from .text import say

ABOUT = (
    "Convert a single file in the layout of its authors to a folder, or a folder to such a file. "
    "The output is a file if its name ends in .safetensors, else a folder. The dtype stays, unless "
    "--dtype is given. What can't be converted is refused before anything is written, and the "
    "output appears when it is complete."
)
EXAMPLES = (
    "autopipe convert model.safetensors -o ./my-checkpoint",
    "autopipe convert model.ckpt -o ./my-checkpoint --prediction-type v_prediction",
    "autopipe convert ./my-checkpoint -o model.safetensors --dtype float16",
)


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    take = partial(option, parser)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    take("-o --output PATH", "the folder, or the .safetensors file, to write", required=True)
    take("--dtype DTYPE", "the dtype of the weights, such as float16 (default: that of the input)")
    take("--config CHECKPOINT", "a folder or repository with what a single file lacks")
    take("--original-config FILE", "the config in YAML of the authors of a single file")
    take(
        "--prediction-type TYPE",
        "what the U-Net of a single file predicts: epsilon, v_prediction or sample",
    )
    take("--revision NAME", REVISION_HELP)
    declare_links(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Load the checkpoint and write it in the other form."""
    import os

    from ..checkpoint.save_single import checked_name, save_single
    from ..pipeline.base import DiffusionPipeline
    from ..regular import is_file

    given, output = arguments.checkpoint, arguments.output
    to_file = output.endswith(".safetensors")
    if to_file:
        checked_name(output, arguments.overwrite)
    elif os.path.isfile(output):
        raise ArgumentError(f"{output} is a file; give a folder, or a name with .safetensors")
    said = {
        "config": arguments.config,
        "original_config": arguments.original_config,
        "prediction_type": arguments.prediction_type,
    }
    options = {"torch_dtype": arguments.dtype or "auto", "revision": arguments.revision}
    pipe: Any
    if is_file(given) or given.startswith(("https://", "http://")):
        pipe = DiffusionPipeline.from_single_file(given, **said, **options)
    elif any(said.values()):
        raise ArgumentError(
            "--config, --original-config and --prediction-type describe a single file; "
            f"{given} isn't one"
        )
    else:
        pipe = DiffusionPipeline.from_pretrained(given, **options)
    with pipe:
        if to_file:
            save_single(pipe, output, overwrite=arguments.overwrite)
        else:
            pipe.save_pretrained(output)
        say(f"Saved the {type(pipe).__name__} as {output}")
    return 0
