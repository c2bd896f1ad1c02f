"""The texts of InvokeAI: `invokeai_metadata`, and before version 3 `sd-metadata` and `Dream`.

Source: InvokeAI's `invokeai/app/invocations/metadata.py`, and for the older ones its
`ldm/invoke/args.py` and pages on the command line of version 2.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.wording import listed, shown

from .found import Foreign, is_set, object_in, objects_in, text_of

PROGRAM = "InvokeAI"
_LONGEST_COMMAND = 1 << 16
_EXAMPLE = "(word)1.2"

_UNUSED = {
    "controlnets": "ControlNets",
    "ipAdapters": "image prompts",
    "t2iAdapters": "T2I-Adapters",
    "refiner_model": "the refiner",
    "hrf_enabled": "the second pass that enlarges the picture",
    "vae": "an autoencoder of its own",
    "seamless_x": "seamless tiling",
    "seamless_y": "seamless tiling",
    "init_image": "the image that it starts from",
    "positive_style_prompt": "a prompt for the style",
    "negative_style_prompt": "a negative prompt for the style",
}

_OLD_UNUSED = {
    "threshold": "a threshold of latents",
    "perlin": "Perlin noise",
    "seamless": "seamless tiling",
    "hires_fix": "the second pass that enlarges the picture",
    "variations": "variations of the noise",
    "postprocessing": "changes after it was drawn",
    "init_image_path": "the image that it starts from",
}

_OPTIONS = {
    "-s": "steps",
    "-S": "seed",
    "-W": "width",
    "-H": "height",
    "-C": "cfg_scale",
    "-A": "sampler",
    "-f": "strength",
    "-I": "init_image_path",
}


def read(text: str) -> Foreign:
    """Return the settings in `invokeai_metadata`.

    Raises:
        ArgumentError: if it isn't a JSON object.
    """
    data = object_in(text, "'invokeai_metadata'")
    found = Foreign(" ".join((PROGRAM, text_of(data.get("app_version")))).strip())
    found.take_prompts(
        data.get("positive_prompt"), data.get("negative_prompt"), grammar="compel", example=_EXAMPLE
    )
    _take_numbers(data, found)
    found.take_sampler(data.get("scheduler"), None)
    if is_set(data.get("clip_skip")):
        found.take("clip_skip", data["clip_skip"], "clip_skip")
    if is_set(data.get("cfg_rescale_multiplier")):
        found.take("guidance_rescale", data["cfg_rescale_multiplier"], "cfg_rescale_multiplier")
    found.take_name("model", _name(data.get("model")))
    for one in objects_in(data.get("loras")):
        found.take_lora(_name(one.get("model", one.get("lora"))), one.get("weight"))
    device = text_of(data.get("rand_device"))
    if device and device != "cpu":
        found.differ(f"its noise was drawn on {shown(device)}")
    mode = text_of(data.get("generation_mode"))
    if mode.endswith("txt2img"):
        found.given.pop("strength", None)  # It is that of a second pass.
    elif mode:
        found.leave(f"the images that {shown(mode)} starts from")
    _leave(data, _UNUSED, found)
    return found


def read_older(text: str) -> Foreign:
    """Return the settings in `sd-metadata`, of version 2.

    Raises:
        ArgumentError: if it isn't a JSON object.
    """
    data = object_in(text, "'sd-metadata'")
    image = data.get("image")
    if not isinstance(image, dict):
        raise ArgumentError(f"'sd-metadata' has no image, but {shown(sorted(data)[:10])}")
    found = Foreign(" ".join((PROGRAM, text_of(data.get("app_version")))).strip())
    prompts = image.get("prompt")
    if isinstance(prompts, list):
        texts = [text_of(one.get("prompt"), 1 << 17) for one in objects_in(prompts)]
        if len(texts) > 1:
            found.leave("its prompts are several, weighted against each other; they are joined")
        prompts = " ".join(texts)
    found.take_name("model", data.get("model_weights"))
    _take_older(prompts, image, found)
    return found


def read_command(text: str) -> Foreign:
    """Return the settings in `Dream`, the command line of version 2 and before.

    Raises:
        ArgumentError: if it isn't one.
    """
    try:
        words = shlex.split(text[:_LONGEST_COMMAND])
    except ValueError:
        words = []
    if not words or len(text) > _LONGEST_COMMAND:
        raise ArgumentError(f"'Dream' is not a command that can be read: {shown(text)}")
    found = Foreign(PROGRAM)
    image: dict[str, Any] = {}
    prompt: list[str] = []
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        option, joined = word[:2], word[2:]
        if option in _OPTIONS:
            image[_OPTIONS[option]] = joined or next(rest, "")
        elif re.match(r"--?[A-Za-z]", word):
            options.append(word)
        elif not (options or image):
            prompt.append(word)
    if options:
        found.leave(f"the options {listed(options)}")
    _take_older(" ".join(prompt), image, found)
    return found


def _take_older(prompt: object, image: Mapping[str, Any], found: Foreign) -> None:
    """Take over what version 2 wrote; its negative prompt is in brackets."""
    if isinstance(prompt, str) and len(prompt) < 1 << 17:
        negative = " ".join(re.findall(r"(?<!\\)\[([^\[\]]{1,5000})\]", prompt))
        prompt = re.sub(r" ?(?<!\\)\[[^\[\]]{1,5000}\]", "", prompt).strip()
        found.take_prompts(prompt, negative, grammar="compel", example=_EXAMPLE)
    _take_numbers(image, found)
    found.take_sampler(image.get("sampler"), None)
    found.differ("version 2 of InvokeAI may have drawn its noise on a GPU; it doesn't say so")
    _leave(image, _OLD_UNUSED, found)


def _take_numbers(data: Mapping[str, Any], found: Foreign) -> None:
    found.take("num_inference_steps", data.get("steps"), "steps")
    found.take("guidance_scale", data.get("cfg_scale"), "cfg_scale")
    found.take("seed", data.get("seed"), "seed")
    found.take_size(data.get("width"), data.get("height"), "the size")
    found.take("strength", data.get("strength"), "strength")


def _leave(data: Mapping[str, Any], unused: Mapping[str, str], found: Foreign) -> None:
    for key, sentence in unused.items():
        if is_set(data.get(key)):
            found.leave(sentence)


def _name(model: object) -> object:
    """Return the name of a model, which is an object with other keys in each version."""
    if not isinstance(model, dict):
        return model
    return next((model[key] for key in ("name", "model_name", "key") if key in model), None)
