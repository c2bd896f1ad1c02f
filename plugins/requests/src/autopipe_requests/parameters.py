"""A record as the `parameters` of AUTOMATIC1111's web UI, which galleries and programs read."""

from __future__ import annotations

from pathlib import PurePath

from .foreign import a1111
from .record import Record
from .request import Addition, Scheduler
from .samplers import AUTOMATIC, sampler_of

_HASH = 10
"""The first digits of a file's SHA-256, by which Civitai finds it."""


def parameters_of(record: Record, size: tuple[int, int] | None = None) -> str:
    """Return `parameters` with the settings of a record that have a name there.

    Args:
        size: width and height of the image in pixels; None for those of the request.
    """
    request, used = record.request, {**record.drawn.used, **record.request.arguments}
    text = {name: used.get(name) for name in ("prompt", "negative_prompt")}
    prompt, negative = (value if isinstance(value, str) else "" for value in text.values())
    loras = [one for one in request.addons if one.addon == "lora" and one.source]
    prompt += "".join(f" {a1111.tag(_stem(one), _weight(one))}" for one in loras)
    sampler, kind = _sampler(record)
    width, height = size or request.size or (used.get("width"), used.get("height"))
    skipped, strength = used.get("clip_skip"), used.get("strength")
    pairs = {
        "Steps": used.get("num_inference_steps"),
        "Sampler": sampler,
        "Schedule type": None if kind == AUTOMATIC else kind,
        "CFG scale": used.get("guidance_scale"),
        "Seed": request.seed,
        "Size": f"{width}x{height}" if width and height else None,
        "Model": _model(record),
        "Denoising strength": strength,
        "Clip skip": skipped + 1 if isinstance(skipped, int) and skipped else None,
        "Lora hashes": ", ".join(
            f"{_stem(one)}: {one.sha256[:_HASH]}" for one in loras if one.sha256
        ),
        "RNG": "CPU",
        "Version": f"autopipe {record.drawn.versions.get('autopipe-core', '')}".strip(),
    }
    known = {key: str(value) for key, value in pairs.items() if value not in (None, "")}
    return a1111.joined(prompt.strip(), negative, known)


def _sampler(record: Record) -> tuple[str | None, str | None]:
    """Return the sampler and the schedule type; the class if it is no sampler there."""
    used = record.drawn.used.get("scheduler")
    scheduler = record.request.scheduler
    if scheduler is None and isinstance(used, str):
        scheduler = Scheduler(name=used)
    if scheduler is None:
        return None, None
    return sampler_of(scheduler) or (scheduler.name, None)


def _model(record: Record) -> str:
    """Return the model's name, without the folder of a local one."""
    checkpoint = record.request.checkpoint
    local = checkpoint.fingerprint is not None
    return PurePath(checkpoint.name).stem if local else checkpoint.name


def _stem(one: Addition) -> str:
    return PurePath(one.source or "").stem


def _weight(one: Addition) -> float:
    return float(one.strength) if isinstance(one.strength, (int, float)) else 1.0
