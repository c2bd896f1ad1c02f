"""The names that clients choose from: models, adapters, samplers, schedule types, upscalers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from PIL.Image import Resampling

from autopipe.errors import nearest
from autopipe.registry import Registry
from autopipe.wording import listed, shown
from autopipe_requests.samplers import (
    AUTOMATIC,
    SAMPLERS,
    SCHEDULE_TYPES,
    Sampler,
    schedule_type,
    split_name,
)

from ..errors import Refusal
from ..loras import Lora

DEFAULT = "Default"
"""The sampler that stands for the scheduler of the checkpoint."""

_OWN = ("", "default", "automatic")

UPSCALERS: Mapping[str, Resampling] = {
    "None": Resampling.LANCZOS,
    "Lanczos": Resampling.LANCZOS,
    "Nearest": Resampling.NEAREST,
}
"""What enlarges an image, by name."""

LATENT = "Latent"
"""How the names of upscalers begin that enlarge latents, for which Lanczos stands in."""


def samplers(registry: Registry) -> list[dict[str, Any]]:
    """Return the samplers whose schedulers are installed."""
    parts = (one for family in registry.families.values() for one in family.components)
    installed = {one.name for one in parts if one.kind == "scheduler"}
    found = [{"name": DEFAULT, "aliases": ["automatic"], "options": {}}]
    for one in SAMPLERS:
        if f"{one.scheduler}Scheduler" in installed:
            alias = "k_" + one.name.lower().replace("++", "pp").replace(" ", "_")
            found.append(
                {"name": one.name, "aliases": [alias, *one.aliases.split()], "options": {}}
            )
    return found


def schedulers() -> list[dict[str, Any]]:
    """Return the schedule types."""
    return [
        {
            "name": name.lower().replace(" ", "_"),
            "label": name,
            "aliases": None,
            "default_rho": -1,
            "need_inner_model": False,
        }
        for name in SCHEDULE_TYPES
    ]


def models(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the models; hashes are unknown, as those of models that were never loaded there."""
    unknown = dict.fromkeys(("hash", "sha256", "config"))
    return [{"title": one, "model_name": one, "filename": one, **unknown} for one in names]


def loras(known: Iterable[Lora]) -> list[dict[str, Any]]:
    """Return the adapters."""
    return [
        {"name": one.name, "alias": one.name, "path": one.path.name, "metadata": {**one.metadata}}
        for one in known
    ]


def upscalers() -> list[dict[str, Any]]:
    """Return the upscalers."""
    unknown = dict.fromkeys(("model_name", "model_path", "model_url"))
    return [{"name": name, **unknown, "scale": 4} for name in UPSCALERS]


def plain(name: str) -> str:
    """Return the name of a file of weights without its suffix."""
    return re.sub(r"\.(safetensors|ckpt|pt|bin)$", "", name)


def known_model(name: str, names: Iterable[str]) -> str:
    """Return the model that goes by a name, or by a title with a hash.

    Raises:
        Refusal: if there is none (404).
    """
    known = list(names)
    untitled = name.rpartition(" [")[0] if name.endswith("]") else name
    meant = (one for one in (name, untitled) if one in known)
    same = (one for one in known if plain(one) == plain(untitled))
    found = next(meant, None) or next(same, None)
    if found is not None:
        return found
    raise _unknown("model", name, known, "sd_model_checkpoint")


def known_lora(name: str, names: Iterable[str]) -> str:
    """Return the adapter that goes by a name with or without suffix.

    Raises:
        Refusal: if there is none (404).
    """
    known = list(names)
    found = next((one for one in (name, plain(name)) if one in known), None)
    if found is None:
        raise _unknown("LoRA", name, known, "prompt")
    return found


def known_sampler(name: str, kind: str, registry: Registry) -> tuple[Sampler, str] | None:
    """Return a sampler and a schedule type by their names; None for the checkpoint's scheduler.

    Args:
        name: the sampler, after which the schedule type may stand.
        kind: the schedule type, if it doesn't.

    Raises:
        Refusal: if one of them is unknown (404).
    """
    if kind and schedule_type(kind) is None:
        raise _unknown("schedule type", kind, SCHEDULE_TYPES, "scheduler")
    if name.lower() in _OWN:
        return None
    known = [one["name"] for one in samplers(registry)]
    sampler, own = split_name(name)
    if sampler is None or sampler.name not in known:
        raise _unknown("sampler", name, known, "sampler_name")
    return sampler, own or kind or AUTOMATIC


def known_upscaler(name: str) -> Resampling:
    """Return how an upscaler resizes.

    Raises:
        Refusal: if it is unknown (404).
    """
    if name.startswith(LATENT):
        return Resampling.LANCZOS
    if name not in UPSCALERS:
        raise _unknown("upscaler", name, [*UPSCALERS, LATENT], "hr_upscaler")
    return UPSCALERS[name]


def _unknown(what: str, name: str, known: Iterable[str], param: str) -> Refusal:
    names = list(known)
    there = f"there are {listed(names, 30)}" if names else "there are none"
    text = f"there is no {what} {shown(name)} here; {there}.{nearest(name, names)}"
    return Refusal(404, text, param=param)
