"""The settings of AUTOMATIC1111's web UI, of Forge and of Civitai: read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath

from autopipe.wording import listed, shown

from ..record import Record
from ..request import Addition, Scheduler
from ..samplers import AUTOMATIC, sampler_of
from .found import Foreign, objects_in, text_of
from .infotext import joined, split

_TAG = re.compile(r" ?<(\w{1,20}):([^<>\n]{1,500})>")

_SAID = (
    "Batch pos", "Batch size", "Civitai metadata", "Created Date", "Discard penultimate sigma",
    "Emphasis", "Hashes", "Lora hashes", "Model hash", "Source Identifier", "TI hashes", "User",
    "Version",
)  # fmt: skip
"""Keys that say nothing about how the picture is drawn, or nothing that can be used."""

_NOISE = ("ENSD", "Eta", "Variation seed", "Variation seed strength")
"""Keys that say that the noise was another one."""

_GROUPS = {
    "Hires": "the second pass that enlarges the picture",
    "ADetailer": "ADetailer's repainting of details",
    "ControlNet": "ControlNet's inputs",
    "Refiner": "the refiner",
    "Mask": "the mask",
    "Inpaint": "the mask",
}

_HASH = 10
"""The first digits of a file's SHA-256, by which Civitai finds it."""

# Reading


def read(text: str) -> Foreign:
    """Return the settings in `parameters`.

    Raises:
        ArgumentError: if the text is longer than any program writes.
    """
    if text.lstrip().startswith("{"):
        found = Foreign("another program")
        found.leave(f"its 'parameters' are JSON, which isn't read here: {shown(text)}")
        return found
    positive, negative, pairs = split(text)
    found = Foreign(_program(pairs))
    rest = dict(pairs)
    positive, negative = (without_tags(prompt, found) for prompt in (positive, negative))
    found.take_prompts(positive, negative, grammar="a1111", example="(word:1.2)")
    if pairs:
        _take_settings(rest, found)
    return found


def _take_settings(rest: dict[str, str], found: Foreign) -> None:
    take = rest.pop
    found.take("num_inference_steps", take("Steps", None), "Steps")
    found.take_sampler(take("Sampler", None), take("Schedule type", "Automatic"))
    found.take("guidance_scale", take("CFG scale", None), "CFG scale")
    found.take("seed", take("Seed", None), "Seed")
    if size := take("Size", None):
        width, _, height = size.partition("x")
        found.take_size(width, height, "Size")
    if any(key.startswith("Hires") for key in rest):
        take("Denoising strength", None)  # It is that of the second pass.
    else:
        found.take("strength", take("Denoising strength", None), "Denoising strength")
        if "strength" in found.given:
            found.leave("the image that it starts from; give it yourself")
    _take_clip_skip(take("Clip skip", None), found)
    for kind, key in (("model", "Model"), ("model_hash", "Model hash"), ("vae", "VAE")):
        found.take_name(kind, take(key, None))
    _take_resources(take("Civitai resources", None), found)
    source = take("RNG", "GPU")
    if source != "CPU":
        found.differ(f"its noise was drawn on a {'GPU' if source == 'GPU' else shown(source)}")
    if changed := [key for key in _NOISE if rest.pop(key, None) is not None]:
        found.differ(f"its noise was changed by {listed(changed)}")
    _leave_rest(rest, found)


def _take_clip_skip(text: str | None, found: Foreign) -> None:
    """Take over the layer that ends the text encoder: 1 is the last, which is 0 in diffusers."""
    counted = int(text) - 1 if text and text.isdecimal() and len(text) < 4 else text
    if counted in (None, 0, -1):
        return
    found.take("clip_skip", counted, "Clip skip")
    if "clip_skip" in found.given:
        found.differ(
            "Clip skip counts for Stable Diffusion; other programs ignore it for Stable Diffusion "
            "XL, so leave clip_skip out there"
        )


def _take_resources(text: str | None, found: Foreign) -> None:
    """Take over the model and LoRAs that Civitai lists by their versions."""
    if text is None:
        return
    try:
        listing = json.loads(text)
    except (ValueError, RecursionError):
        listing = None
    has_loras = bool(found.loras)
    for one in objects_in(listing):
        kind, name = text_of(one.get("type")), text_of(one.get("modelName"))
        name = name or f"civitai:{text_of(str(one.get('modelVersionId')))}"
        if kind == "checkpoint":
            found.names.setdefault("model", name)
        elif kind in ("lora", "lycoris", "locon", "dora"):
            if not has_loras:
                found.take_lora(name, one.get("weight", 1))
        else:
            found.leave(f"Civitai's {kind or 'file'} {shown(name)}; attach it yourself")


def without_tags(prompt: str, found: Foreign) -> str:
    """Return a prompt without tags such as `<lora:name:0.8>`, after taking over the LoRAs in them.

    Tags of other kinds are noted as left.
    """
    for kind, content in _TAG.findall(prompt):
        name, *parts = content.split(":")
        weights = [part.rpartition("=")[2] for part in parts] or ["1"]
        if kind not in ("lora", "lyco"):
            found.leave(f"<{kind}:{content}>; only LoRAs are read")
            continue
        found.take_lora(name, weights[0])
        if len(set(weights)) > 1:
            found.leave(
                f"the second weight of <{kind}:{content}>; the first counts for all networks"
            )
    return _TAG.sub("", prompt).strip() if _TAG.search(prompt) else prompt


def _leave_rest(rest: Mapping[str, str], found: Foreign) -> None:
    groups: dict[str, None] = {}
    for key in rest:
        if group := next((name for name in _GROUPS if key.startswith(name)), None):
            groups[_GROUPS[group]] = None
        elif key not in _SAID:
            found.leave(f"{key}: {shown(rest[key])}")
    for sentence in groups:
        found.leave(sentence)


def _program(pairs: Mapping[str, str]) -> str:
    version = pairs.get("Version", "")
    if version.startswith("autopipe"):
        return text_of(version)
    if any(key.startswith("Civitai") for key in pairs):
        return "Civitai"
    name = "Forge" if re.match(r"f\d", version) else "AUTOMATIC1111's web UI"
    return text_of(f"{name} {version}".strip())


# Writing


def parameters_of(record: Record, size: tuple[int, int] | None = None) -> str:
    """Return `parameters` with the settings of a record that have a name there.

    Args:
        size: width and height of the image in pixels; None for those of the request.
    """
    request, used = record.request, {**record.drawn.used, **record.request.arguments}
    text = {name: used.get(name) for name in ("prompt", "negative_prompt")}
    prompt, negative = (value if isinstance(value, str) else "" for value in text.values())
    loras = [one for one in request.addons if one.addon == "lora" and one.source]
    prompt += "".join(f" {_tag(_stem(one.source or ''), _weight(one))}" for one in loras)
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
            f"{_stem(one.source or '')}: {one.sha256[:_HASH]}" for one in loras if one.sha256
        ),
        "RNG": "CPU",
        "Version": f"autopipe {record.drawn.versions.get('autopipe-core', '')}".strip(),
    }
    known = {key: str(value) for key, value in pairs.items() if value not in (None, "")}
    return joined(prompt.strip(), negative, known)


def _sampler(record: Record) -> tuple[str | None, str | None]:
    """Return the sampler and the schedule type; the class if there is no such sampler."""
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
    return _stem(checkpoint.name) if local else checkpoint.name


def _stem(source: str) -> str:
    """Return the name of a file or folder, in which only the usual suffixes count as such."""
    return re.sub(r"\.(safetensors|ckpt|pt|bin)$", "", PurePath(source).name)


def _weight(one: Addition) -> float:
    return float(one.strength) if isinstance(one.strength, (int, float)) else 1.0


def _tag(name: str, weight: float) -> str:
    """Return the tag of a LoRA in a prompt."""
    short = f"{weight:g}"
    return f"<lora:{re.sub(r'[<>:,]', '', name)}:{short if float(short) == weight else weight}>"
