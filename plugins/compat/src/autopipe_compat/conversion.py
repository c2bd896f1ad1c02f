"""The older function of diffusers that loads a single file, on top of `from_single_file`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.pipeline.base import DiffusionPipeline

_NOT_HERE = (
    "adapter", "clip_stats_path", "stable_unclip", "stable_unclip_prior", "vae_path",
)  # fmt: skip
_COMPONENTS = (
    "safety_checker", "feature_extractor", "vae", "text_encoder", "text_encoder_2", "tokenizer",
    "tokenizer_2",
)  # fmt: skip


def download_from_original_stable_diffusion_ckpt(
    checkpoint_path_or_dict: str | Path,
    original_config_file: str | Path | None = None,
    image_size: int | None = None,
    prediction_type: str | None = None,
    model_type: str | None = None,
    extract_ema: bool = False,
    scheduler_type: str | None = "pndm",
    num_in_channels: int | None = None,
    upcast_attention: bool | None = None,
    device: str | None = None,
    from_safetensors: bool = False,
    controlnet: Any = None,
    load_safety_checker: bool = True,
    pipeline_class: type[DiffusionPipeline] | None = None,
    local_files_only: bool = False,
    **others: Any,
) -> DiffusionPipeline:
    """Load the pipeline of a single file; `from_single_file` of a class is the newer form.

    Args:
        checkpoint_path_or_dict: the path of the file.
        original_config_file: the config in YAML of the authors' code.
        prediction_type: what the U-Net predicts.
        scheduler_type: the short name of a scheduler.
        extract_ema: not supported; refused.
        controlnet: a ControlNet for a `pipeline_class` that takes one.
        pipeline_class: the class to load; by default that of the file.
        local_files_only: open no connection.
        device: the device of the networks.
        image_size, model_type, num_in_channels, upcast_attention, from_safetensors: without effect;
            the file tells them.
        load_safety_checker: without effect; pass `safety_checker`.
        **others: components by name.

    Raises:
        ArgumentError: if a keyword is not supported.
        CheckpointError: if the file can't be read.
    """
    for name in _NOT_HERE:
        if others.pop(name, None) is not None:
            raise ArgumentError(f"{name}= is not supported; use diffusers for this checkpoint")
    others.pop("config_files", None)
    given = {name: others.pop(name) for name in _COMPONENTS if others.get(name) is not None}
    if controlnet is not None and not isinstance(controlnet, bool):
        given["controlnet"] = controlnet
    cls = pipeline_class or DiffusionPipeline
    return cls.from_single_file(
        checkpoint_path_or_dict,
        original_config=original_config_file,
        prediction_type=prediction_type and prediction_type.replace("-", "_"),
        scheduler_type=scheduler_type,
        extract_ema=extract_ema,
        local_files_only=local_files_only,
        device_map=device,
        **given,
        **{name: value for name, value in others.items() if value is not None},
    )
