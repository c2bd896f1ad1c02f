"""Invalid calls, which must raise the same built-in errors as in diffusers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from .pictures import picture

EMBEDS = torch.zeros(1, 12, 16)
MANY = [torch.Generator() for _ in range(3)]

VALUES: dict[str, list[Any]] = {
    "prompt": [None, 5, ("a",), b"a", {}],
    "prompt_2": [5, {}],
    "negative_prompt": [5, ["a", "b", "c"], {}],
    "negative_prompt_2": [5, ["a", "b", "c"]],
    "height": [15, "16", -8],
    "width": [15, "16", 16.5],
    "callback_steps": [0, -1, "x", 1.5],
    "callback_on_step_end_tensor_inputs": [["x"], ["latents", "prompt"]],
    "strength": [2, -1, "x", None],
    "num_inference_steps": ["x", None, 0],
    "guidance_scale": ["x", None],
    "num_images_per_prompt": ["x", None],
    "generator": [MANY, "x", 5],
    "latents": ["x", 5],
    "image": [None, 5, "x.png", [], [None], {}, object()],
    "original_image": [None, 5, "x.png", [], object()],
    "mask_image": [None, 5, "x.png", [], object()],
    "control_image": [None, 5, "x.png", [], [None], object()],
    "hint": [None, 5, "x"],
    "timesteps": [5, "x"],
    "output_type": ["x"],
    "cross_attention_kwargs": [5, "x"],
    "ip_adapter_image_embeds": [5, torch.zeros(1)],
    "controlnet_conditioning_scale": [[1.0], [1.0, 1.0], "x", None],
    "control_guidance_start": [1.5, -1.0, "x", [0.1, 0.2], 1.0],
    "control_guidance_end": [0.0, 2.0, "x", [0.5, 0.6]],
    "padding_mask_crop": ["x"],
    "noise_level": ["x", None, 5000],
    "image_embeds": [None, 5, "x"],
    "negative_image_embeds": [None, 5],
    "denoising_start": ["x"],
    "denoising_end": ["x"],
    "original_size": [5],
    "target_size": [5],
    "promt": [1],
}
"""Invalid values of each argument, for calls that take it; no call takes the last name."""

TOGETHER: list[dict[str, Any]] = [
    {"prompt": "a", "prompt_embeds": EMBEDS},
    {"prompt": None, "prompt_embeds": EMBEDS},
    {"prompt": None, "prompt_embeds": EMBEDS, "negative_prompt_embeds": EMBEDS.repeat(2, 1, 1)},
    {"negative_prompt": "a", "negative_prompt_embeds": EMBEDS},
    {"timesteps": [1], "sigmas": [1.0]},
    {"prompt": ["a", "b"], "negative_prompt": "c"},
    {"prompt": ["a", "b"], "image": [picture()] * 3},
    {"prompt": ["a", "b"], "control_image": [picture()] * 3},
    {"prompt": "a", "prompt_2": ["a", "b", "c"]},
    {"padding_mask_crop": 4, "image": np.zeros((16, 16, 3), np.float32)},
    {"padding_mask_crop": 4, "mask_image": np.zeros((16, 16), np.float32)},
    {"padding_mask_crop": 4, "output_type": "np"},
    {"ip_adapter_image": picture(), "ip_adapter_image_embeds": [EMBEDS]},
]


BROUGHT_TO_A_MULTIPLE = {"height", "width"}
"""Arguments that we round to a multiple, and that some pipelines of diffusers refuse."""


def bad_calls(kind: Any) -> Iterator[dict[str, Any]]:
    """Yield changes that make a call of `kind` invalid."""
    taken = {*inspect.signature(kind.__call__).parameters, "promt"}
    for name in VALUES.keys() & taken:
        yield from ({name: value} for value in VALUES[name])
    yield from (changes for changes in TOGETHER if changes.keys() <= taken)


def assert_same_kinds(
    ours: Any, theirs: Any, call: dict[str, Any], besides: Sequence[dict[str, Any]] = ()
) -> None:
    """Check that we raise a `TypeError` or `ValueError` for every call for which diffusers does.

    Args:
        besides: changes that are treated otherwise here.
    """
    taken = inspect.signature(type(theirs).__call__).parameters
    call = {name: value for name, value in call.items() if name in taken}
    found = []
    for changes in bad_calls(type(theirs)):
        expected = _raised(theirs, {**call, **changes})
        kind = next((k for k in (TypeError, ValueError) if isinstance(expected, k)), None)
        if kind is None or changes in besides:
            continue
        got = _raised(ours, {**call, **changes})
        takes_more = got is None and changes.keys() <= BROUGHT_TO_A_MULTIPLE
        if not isinstance(got, kind) and not takes_more:
            found.append(f"{changes}: {expected!r:.200}, here {got!r:.200}")
    assert found == [], "\n".join(found)


def _raised(pipe: Any, call: dict[str, Any]) -> Exception | None:
    call = {name: copy.deepcopy(one) if name != "generator" else one for name, one in call.items()}
    try:
        pipe(**{"generator": torch.Generator().manual_seed(0), **call})
    except Exception as error:  # of any kind
        return error
    return None
