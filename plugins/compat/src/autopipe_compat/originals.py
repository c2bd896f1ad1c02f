"""Loads single files by the names of functions that older programs call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.wording import listed

_FIXED = ("extract_ema", "stable_unclip", "stable_unclip_prior", "clip_stats_path", "adapter",
          "controlnet", "config_files")  # fmt: skip
"""Arguments that select what no reader here has."""

_KNOWN = ("image_size", "model_type", "num_in_channels", "upcast_attention", "device",
          "from_safetensors", "load_safety_checker", "vae_path")  # fmt: skip
"""Arguments whose values the file and its config tell."""


def download_from_original_stable_diffusion_ckpt(
    checkpoint_path_or_dict: str | Path,
    original_config_file: str | Path | Mapping[str, Any] | None = None,
    *,
    prediction_type: str | None = None,
    scheduler_type: str = "pndm",
    pipeline_class: type[DiffusionPipeline] | None = None,
    **others: Any,
) -> DiffusionPipeline:
    """Load the pipeline of a single file by `from_single_file`, which new programs call.

    Args:
        checkpoint_path_or_dict: the path of the file.
        original_config_file: the config in YAML.
        pipeline_class: the class; by default the one that the file shows.
        **others: components by name. Arguments that the file answers, such as `image_size`,
            `num_in_channels` and `from_safetensors`, have no effect. No safety checker is loaded.

    Raises:
        ArgumentError: if another argument of the old function is given.
        ArgumentTypeError: if the checkpoint is not a path.
    """
    if isinstance(checkpoint_path_or_dict, Mapping):
        raise ArgumentTypeError("give the path of the file, not its state dict")
    wrong = [name for name in _FIXED if others.get(name)]
    if wrong:
        raise ArgumentError(
            f"{listed(wrong)} can't be given here; leave it out, or convert the file with diffusers"
        )
    rest = {n: one for n, one in others.items() if one is not None and n not in (*_FIXED, *_KNOWN)}
    return (pipeline_class or DiffusionPipeline).from_single_file(
        checkpoint_path_or_dict,
        original_config=original_config_file,
        prediction_type="v_prediction" if prediction_type == "v-prediction" else prediction_type,
        scheduler_type=scheduler_type,
        **rest,
    )


load_pipeline_from_original_stable_diffusion_ckpt = download_from_original_stable_diffusion_ckpt
