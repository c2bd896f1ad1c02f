"""Configs of networks, read from the config that their authors publish as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.errors import ConfigError
from autopipe.wording import shown

Config = Mapping[str, Any]

_SCALING = 0.18215
_SIZES_AND_PROMPT = (1280, 2048)
"""The widths of prompts of the U-Nets that embed sizes and a pooled prompt, those of SDXL."""


def unet_config(original: Config, sample_size: int) -> dict[str, Any]:
    """Return the config of a U-Net.

    Args:
        original: the content of the authors' config.
        sample_size: the height of the latents that it was trained on.

    Raises:
        ConfigError: if an entry is absent or has another type.
    """
    given = _section(original, ("unet_config", "network_config"))
    width, factors = _number(given, "model_channels"), _numbers(given, "channel_mult")
    attending = _numbers(given, "attention_resolutions")
    levels = [2**level in attending for level in range(len(factors))]
    prompt = given.get("context_dim")
    prompt = prompt[0] if isinstance(prompt, list) and prompt else prompt
    linear = bool(given.get("use_linear_in_transformer", False))
    heads = given.get("num_heads")
    if linear and heads in (None, -1):
        heads = [width // _number(given, "num_head_channels") * factor for factor in factors]
    embedded: dict[str, Any] = {}
    if given.get("num_classes") == "sequential":
        embedded["projection_class_embeddings_input_dim"] = _number(given, "adm_in_channels")
        if prompt in _SIZES_AND_PROMPT:
            embedded |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
        else:
            embedded["class_embed_type"] = "projection"
    elif isinstance(given.get("num_classes"), int):
        embedded["num_class_embeds"] = given["num_classes"]
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": sample_size,
        "in_channels": _number(given, "in_channels"),
        "out_channels": _number(given, "out_channels"),
        "down_block_types": [f"{_kind(one)}DownBlock2D" for one in levels],
        "up_block_types": [f"{_kind(one)}UpBlock2D" for one in reversed(levels)],
        "block_out_channels": [width * factor for factor in factors],
        "layers_per_block": _number(given, "num_res_blocks"),
        "cross_attention_dim": prompt,
        "attention_head_dim": heads if heads is not None else 8,
        "use_linear_projection": linear,
        "transformer_layers_per_block": given.get("transformer_depth") or 1,
        **embedded,
    }


def controlnet_config(original: Config) -> dict[str, Any]:
    """Return the config of a ControlNet; raises the errors of `unet_config`."""
    given = _section(original, ("control_stage_config",))
    wrapped = {"model": {"params": {"unet_config": {"params": {"out_channels": 4, **given}}}}}
    found = unet_config(wrapped, 64)
    for name in ("sample_size", "out_channels", "up_block_types"):
        del found[name]
    channels = _number(given, "hint_channels")
    return {**found, "_class_name": "ControlNetModel", "conditioning_channels": channels}


def vae_config(original: Config) -> dict[str, Any]:
    """Return the config of an `AutoencoderKL`; raises the errors of `unet_config`."""
    params = original["model"]["params"]
    first = (
        _section(original, ("first_stage_config",)) if "first_stage_config" in params else params
    )
    given = first.get("ddconfig")
    if not isinstance(given, Mapping):
        raise ConfigError("the original config has no 'ddconfig' of the autoencoder; correct it")
    factors, width = _numbers(given, "ch_mult"), _number(given, "ch")
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": _number(given, "resolution"),
        "in_channels": _number(given, "in_channels"),
        "out_channels": _number(given, "out_ch"),
        "down_block_types": ["DownEncoderBlock2D"] * len(factors),
        "up_block_types": ["UpDecoderBlock2D"] * len(factors),
        "block_out_channels": [width * factor for factor in factors],
        "latent_channels": _number(given, "z_channels"),
        "layers_per_block": _number(given, "num_res_blocks"),
        "scaling_factor": params.get("scale_factor", _SCALING),
    }


def scheduler_entries(original: Config) -> dict[str, Any]:
    """Return the entries of a scheduler's config that the authors' config gives."""
    params = original["model"]["params"]
    names = {
        "timesteps": "num_train_timesteps",
        "linear_start": "beta_start",
        "linear_end": "beta_end",
    }
    found = {ours: params[name] for name, ours in names.items() if name in params}
    if params.get("parameterization") == "v":
        found["prediction_type"] = "v_prediction"
    return found


def _kind(attends: bool) -> str:
    return "CrossAttn" if attends else ""


def _section(original: Config, names: tuple[str, ...]) -> Config:
    params = original["model"]["params"]
    for name in names:
        found = params.get(name)
        if isinstance(found, Mapping) and isinstance(found.get("params"), Mapping):
            inner: Config = found["params"]
            return inner
    raise ConfigError(
        f"the original config has no model.params.{names[0]}.params; give the config that belongs "
        f"to this file"
    )


def _number(given: Config, name: str) -> int:
    value = given.get(name)
    if type(value) is not int:
        raise ConfigError(
            f"{name!r} in the original config must be an integer, not {shown(value)}; correct it"
        )
    return value


def _numbers(given: Config, name: str) -> list[int]:
    value = given.get(name)
    if not isinstance(value, list) or not all(type(one) is int for one in value) or not value:
        raise ConfigError(
            f"{name!r} in the original config must be a list of integers, not {shown(value)}; "
            f"correct it"
        )
    return value
