"""The `parameters` of AUTOMATIC1111's web UI, of Forge and of Civitai: read and written.

They are the prompt, which may have several lines, `Negative prompt: ...` up to the last line, and
the last line with pairs: `Steps: 20, Sampler: Euler, ...`. A value with a comma, a colon or a line
break is a JSON string. Civitai writes objects and lists of JSON as they are.

Source: `modules/infotext_utils.py` of stable-diffusion-webui-forge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress

from autopipe.wording import listed, shown

from .found import Foreign, checked, objects_in, text_of

NEGATIVE = "Negative prompt:"
_FEWEST, _MOST = 3, 1000
"""How many pairs make the last line one of settings, and how many are read."""

_KEY = re.compile(r"\w[\w \-/]{1,99}$")
_STRING = re.compile(r'"(?:\\.|[^\\"])*"(?=\s*(?:,|$))')
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

# Texts


def split(text: str) -> tuple[str, str, dict[str, str]]:
    """Return the prompt, the negative prompt and the settings; of a repeated key the last value.

    Raises:
        ArgumentError: if the text is longer than any program writes.
    """
    *lines, last = checked(text, "'parameters'").strip().split("\n")
    pairs = pairs_of(last)
    if len(pairs) < _FEWEST:
        lines, pairs = [*lines, last], []
    prompts: tuple[list[str], list[str]] = ([], [])
    is_negative = False
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            is_negative, line = True, line.removeprefix(NEGATIVE).strip()
        prompts[is_negative].append(line)
    positive, negative = map("\n".join, prompts)
    return positive, negative, dict(pairs)


def pairs_of(line: str) -> list[tuple[str, str]]:
    """Return the pairs of a line of settings."""
    found: list[tuple[str, str]] = []
    at = 0
    while len(found) < _MOST and (colon := line.find(":", at)) >= 0:
        key = _KEY.search(line[max(at, colon - 100) : colon])
        at = colon + 1
        if key is not None:
            value, at = _value(line, at)
            found.append((key[0], value))
    return found


def _value(line: str, start: int) -> tuple[str, int]:
    """Return the value that begins at `start`, and where the next pair begins."""
    while line[start : start + 1] == " ":
        start += 1
    end = -1
    text = None
    if line.startswith('"', start) and (string := _STRING.match(line, start)):
        end = string.end()
        with suppress(ValueError):
            text = json.loads(string[0])
    elif line.startswith(("{", "["), start):
        with suppress(ValueError, RecursionError):
            end = json.JSONDecoder().raw_decode(line, start)[1]
    comma = line.find(",", max(start, end))
    stop = len(line) if comma < 0 else comma
    return (line[start:stop].strip() if text is None else text), stop + 1


def joined(positive: str, negative: str, pairs: Mapping[str, str]) -> str:
    """Return `parameters`, so that `split` returns the same."""
    lines = [positive, *([f"{NEGATIVE} {negative}"] if negative else [])]
    settings = ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items())
    return "\n".join([*lines, settings])


def _quoted(value: str) -> str:
    is_plain = value and value.strip() == value and not re.search(r'[,:\n]|^["{\[]', value)
    return value if is_plain else json.dumps(value, ensure_ascii=False)


# Settings


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
    positive, negative = (_without_tags(prompt, found) for prompt in (positive, negative))
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


def _without_tags(prompt: str, found: Foreign) -> str:
    """Return a prompt without its tags, after taking over the LoRAs in them."""
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


def tag(name: str, weight: float) -> str:
    """Return the tag of a LoRA in a prompt."""
    short = f"{weight:g}"
    return f"<lora:{re.sub(r'[<>:,]', '', name)}:{short if float(short) == weight else weight}>"
