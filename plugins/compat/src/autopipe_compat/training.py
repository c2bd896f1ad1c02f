"""Functions of training loops: seeds, weights of losses, dtypes, sizes of pictures."""

from __future__ import annotations

import gc
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError
from autopipe.wording import listed, shown

_RATIOS = ((1, 1), (4, 5), (5, 4), (2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (1, 2), (2, 1))
"""Widths and heights of common pictures."""

_BLENDS = ("bilinear", "bicubic", "box", "nearest", "nearest_exact", "hamming", "lanczos")


def set_seed(seed: int) -> None:
    """Set the seeds of `random`, numpy and torch, on all devices."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def compute_snr(noise_scheduler: Any, timesteps: Tensor) -> Tensor:
    """Return the signal-to-noise ratio at `timesteps`, for weights as in arXiv:2303.09556.

    Args:
        noise_scheduler: a scheduler with `alphas_cumprod`.
        timesteps: integers of any shape, which the result also has.
    """
    alphas = noise_scheduler.alphas_cumprod
    signal = (alphas**0.5).to(timesteps.device)[timesteps].float()
    noise = ((1.0 - alphas) ** 0.5).to(timesteps.device)[timesteps].float()
    ratio: Tensor = (signal / noise) ** 2
    return ratio


def compute_dream_and_update_latents(
    unet: Any,
    noise_scheduler: Any,
    timesteps: Tensor,
    noise: Tensor,
    noisy_latents: Tensor,
    target: Tensor,
    encoder_hidden_states: Tensor,
    dream_detail_preservation: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return latents and target moved towards the network's own prediction (arXiv:2312.00210).

    Args:
        timesteps: (B,).
        noise, noisy_latents, target: (B, C, H, W).
        dream_detail_preservation: the exponent of the noise level in the weight of the move.

    Raises:
        ArgumentError: if the scheduler doesn't predict noise.
    """
    kind = noise_scheduler.config.prediction_type
    if kind != "epsilon":
        raise ArgumentError(f"DREAM is for networks that predict noise, not {shown(kind)}")
    alphas = noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    level = ((1.0 - alphas) ** 0.5)[:, None, None, None]
    with torch.no_grad():
        predicted = unet(noisy_latents, timesteps, encoder_hidden_states).sample
    move = (noise - predicted).detach() * level**dream_detail_preservation
    return noisy_latents + level * move, target + move


def cast_training_params(
    model: nn.Module | list[nn.Module], dtype: torch.dtype = torch.float32
) -> None:
    """Cast those parameters of the networks that require gradients."""
    for one in model if isinstance(model, list) else [model]:
        for parameter in one.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.to(dtype)


def unet_lora_state_dict(unet: nn.Module) -> dict[str, Tensor]:
    """Return the weights of layers set by `set_lora_layer`, which networks here don't have.

    For weights of peft call `peft.utils.get_peft_model_state_dict`.
    """
    found: dict[str, Tensor] = {}
    for name, module in unet.named_modules():
        layer = getattr(module, "lora_layer", None) if hasattr(module, "set_lora_layer") else None
        if layer is not None:
            found.update({f"{name}.lora.{n}": one for n, one in layer.state_dict().items()})
    return found


def compute_density_for_timestep_sampling(
    weighting_scheme: str,
    batch_size: int,
    logit_mean: float | None = None,
    logit_std: float | None = None,
    mode_scale: float | None = None,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return random positions (B,) in [0, 1] in the schedule, as in arXiv:2403.03206.

    Args:
        weighting_scheme: `"logit_normal"`, `"mode"`, or anything else for a uniform distribution.
        logit_mean, logit_std: for `"logit_normal"`.
        mode_scale: for `"mode"`.

    Raises:
        ArgumentError: if an argument of the scheme is absent.
    """
    needed = {
        "logit_normal": {"logit_mean": logit_mean, "logit_std": logit_std},
        "mode": {"mode_scale": mode_scale},
    }.get(weighting_scheme, {})
    absent = [name for name, value in needed.items() if value is None]
    if absent:
        raise ArgumentError(f"the scheme {weighting_scheme} needs {listed(absent)}; give it")
    size = (batch_size,)
    if logit_mean is not None and logit_std is not None and weighting_scheme == "logit_normal":
        drawn = torch.normal(logit_mean, logit_std, size, device=device, generator=generator)
        return drawn.sigmoid()
    drawn = torch.rand(size, device=device, generator=generator)
    if mode_scale is not None and weighting_scheme == "mode":
        return 1 - drawn - mode_scale * (torch.cos(math.pi * drawn / 2) ** 2 - 1 + drawn)
    return drawn


def compute_loss_weighting_for_sd3(weighting_scheme: str, sigmas: Tensor) -> Tensor:
    """Return the weight of the loss at each of `sigmas` (arXiv:2403.03206).

    Args:
        weighting_scheme: `"sigma_sqrt"`, `"cosmap"`, or anything else for equal weights.
    """
    if weighting_scheme == "sigma_sqrt":
        return (sigmas**-2.0).float()
    if weighting_scheme == "cosmap":
        return 2 / (math.pi * (1 - 2 * sigmas + 2 * sigmas**2))
    return torch.ones_like(sigmas)


def free_memory() -> None:
    """Collect garbage, and return unused memory of accelerators to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


@contextmanager
def offload_models(
    *modules: Any, device: torch.device | str, offload: bool = True
) -> Iterator[None]:
    """Context manager that moves networks or a pipeline to `device`, and back afterwards."""
    moved = modules if offload else ()
    before = [_device_of(one) for one in moved]
    for one in moved:
        one.to(device)
    try:
        yield
    finally:
        for one, old in zip(moved, before):
            one.to(old)


def _device_of(one: Any) -> torch.device:
    return next(one.parameters()).device if isinstance(one, nn.Module) else one.device


def parse_buckets_string(buckets_str: str) -> list[tuple[int, int]]:
    """Return the sizes (height, width) in text such as `"512,768;768,512"`.

    Raises:
        ArgumentError: if the text has another form, or a size is not positive.
    """
    found = []
    for text in buckets_str.strip().split(";"):
        sizes = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
        height, width = (int(one) for one in sizes.groups()) if sizes else (0, 0)
        if not height or not width:
            raise ArgumentError(
                f"{shown(text)} is not a size; write height and width in pixels, such as "
                f"'512,768;768,512'"
            )
        found.append((height, width))
    return found


def find_nearest_bucket(h: int, w: int, bucket_options: Sequence[tuple[int, int]]) -> int | None:
    """Return the number of the size whose ratio is nearest; of equal ones the last."""
    best = [abs(h * width - w * height) for height, width in bucket_options]
    return max(range(len(best)), key=lambda one: (-best[one], one), default=None)


def generate_aspect_ratio_buckets(
    resolution: int,
    divisibility: int = 16,
    base_resolutions: Sequence[tuple[int, int]] | None = None,
) -> list[tuple[int, int]]:
    """Return sizes (height, width) of about `resolution ** 2` pixels in different ratios.

    Args:
        divisibility: each side is a multiple of it.
        base_resolutions: sizes (height, width) whose ratios are taken; common ratios by default.
    """
    flipped = None if base_resolutions is None else [(w, h) for h, w in base_resolutions]
    sides = []
    for wide, high in flipped or _RATIOS:
        height = (resolution * resolution / (wide / high)) ** 0.5
        width = height * (wide / high)
        sides.append(
            tuple(
                max(divisibility, round(side / divisibility) * divisibility)
                for side in (height, width)
            )
        )
    return [(height, width) for height, width in dict.fromkeys(sides)]


def resolve_interpolation_mode(interpolation_type: str) -> Any:
    """Return torchvision's `InterpolationMode` of this name.

    Raises:
        ArgumentError: if there is no such mode.
        ModuleNotFoundError: if torchvision is not installed.
    """
    if interpolation_type not in _BLENDS:
        raise ArgumentError(
            f"there is no interpolation {shown(interpolation_type)}; known are {listed(_BLENDS)}"
        )
    from torchvision.transforms import InterpolationMode

    return getattr(InterpolationMode, interpolation_type.upper())


def _collate_lora_metadata(modules_to_save: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configs of peft of networks, keyed as LoRA files keep them."""
    return {
        f"{name}_lora_adapter_metadata": one.peft_config["default"].to_dict()
        for name, one in modules_to_save.items()
        if one is not None
    }


def _set_state_dict_into_text_encoder(
    lora_state_dict: Mapping[str, Tensor], prefix: str, text_encoder: nn.Module
) -> None:
    """Set those weights whose names begin with `prefix` in a text encoder that peft changed."""
    from peft.utils import set_peft_model_state_dict

    from .lora_keys import convert_state_dict_to_diffusers, convert_state_dict_to_peft

    own = {n.replace(prefix, ""): one for n, one in lora_state_dict.items() if n.startswith(prefix)}
    state = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own))
    set_peft_model_state_dict(text_encoder, state, adapter_name="default")
