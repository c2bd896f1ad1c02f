"""The parameters of the images API: what is taken, what changes nothing, what is refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autopipe.wording import shown
from autopipe_requests.inputs import Text

from ..errors import Refusal

FORMATS = {"png": "PNG", "webp": "WEBP", "jpeg": "JPEG"}
"""The formats of answers, by the names of the API."""

NUMBERS = ("seed", "num_inference_steps", "steps", "step", "guidance_scale", "strength")
"""Extensions with a number. `steps` and `step` are other names of `num_inference_steps`."""

EXTENSIONS = (*NUMBERS, "negative_prompt", "scheduler", "lora")
"""Parameters that OpenAI's API doesn't have, by the names that servers of open models share."""

WITHOUT_EFFECT = (
    "complexity", "frame_count", "frame_duration_ms", "input_fidelity", "moderation", "quality",
    "safety_identifier", "style", "svg", "user",
)  # fmt: skip
"""Parameters of OpenAI's API that change nothing here."""

QUALITIES = ("low", "medium", "high", "xhigh", "max")
MOST_IMAGES, MOST_PARTIALS = 10, 3

_TAKEN = (
    "prompt", "model", "n", "size", "background", "output_format", "output_compression",
    "response_format", "stream", "partial_images",
)  # fmt: skip
_STEPS = ("num_inference_steps", "steps", "step")
_SIZE = re.compile(r"(\d{1,5})[xX*×](\d{1,5})")
_ALIKE = 0.7
"""The similarity from which an unknown name is a misspelt extension, as in `guidence_scale`."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client asks for.

    Attributes:
        given: the request, as `Studio.complete` takes it, without model and files.
        model: the name of the model; None for the default.
        count: the number of images.
        format: the format of the answer, one of `FORMATS`.
        compression: the quality of a JPEG or a lossy WebP, 0 to 100, or None.
        as_url: whether images are answered as URLs.
        stream: whether images are sent as events.
        partials: the number of previews of each image in a stream.
        quality: what the client calls quality, which changes nothing.
    """

    given: Mapping[str, Any] = field(repr=False)
    model: str | None
    count: int
    format: str
    compression: int | None
    as_url: bool
    stream: bool
    partials: int
    quality: str


def read_order(fields: Mapping[str, Any]) -> Order:
    """Return what the fields of a body ask for. None is the same as an omitted field.

    Numbers and true or false may be text, as in forms.

    Raises:
        Refusal: if a value isn't valid, isn't supported here, or an unknown name looks like a
            misspelt extension.
    """
    there = {name: one for name, one in fields.items() if one is not None}
    _check_names(there)
    if not isinstance(prompt := there.get("prompt"), str):
        found = "is missing" if prompt is None else f"{shown(prompt)} is not text"
        raise Refusal(400, f"prompt {found}; give a text", param="prompt")
    as_url = _choice(there, "response_format", ("b64_json", "url")) == "url"
    stream = _choice(there, "stream", ("false", "true")) == "true"
    format = _format(there)
    if as_url and format != "png":
        raise Refusal(
            400,
            "response_format 'url' links to the file that was written, which is a PNG; leave out "
            "output_format, or give response_format 'b64_json'",
            param="output_format",
        )
    if as_url and stream:
        raise Refusal(
            400, "response_format 'url' can't be streamed; leave out one of both", param="stream"
        )
    quality = there.get("quality")
    return Order(
        given=_given(there, prompt),
        model=_text(there, "model"),
        count=_integer(there, "n", 1, MOST_IMAGES, 1),
        format=format,
        compression=_integer(there, "output_compression", 0, 100, None),
        as_url=as_url,
        stream=stream,
        partials=_integer(there, "partial_images", 0, MOST_PARTIALS, 0),
        quality=quality if quality in QUALITIES else "high" if quality == "hd" else "medium",
    )


def _check_names(there: Mapping[str, Any]) -> None:
    """Refuse what would change the image and isn't possible here, and misspelt extensions."""
    for name in ("image", "mask"):
        if name in there:
            raise Refusal(
                400,
                f"{name} is not a file here; send it as a file in a form to /v1/images/edits",
                param=name,
            )
    if there.get("background") == "transparent":
        raise Refusal(
            400,
            "background 'transparent' is not supported, because images are opaque; give 'opaque' "
            "or 'auto'",
            param="background",
        )
    for name in there.keys() - {*_TAKEN, *EXTENSIONS, *WITHOUT_EFFECT}:
        if close := difflib.get_close_matches(name[:100], EXTENSIONS, 1, _ALIKE):
            raise Refusal(
                400,
                f"there is no parameter {shown(name)}. Did you mean {close[0]!r}?",
                param=name[:100],
            )


def _given(there: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt": prompt}
    size = there.get("size", "auto")
    if size != "auto":
        sides = _SIZE.fullmatch(size) if isinstance(size, str) else None
        if sides is None:
            raise Refusal(
                400,
                f"size {shown(size)} is not valid: it takes WIDTHxHEIGHT in pixels, such as "
                f"512x512, or auto",
                param="size",
            )
        given["size"] = [int(one) for one in sides.groups()]
    steps = [name for name in _STEPS if name in there]
    if len(steps) > 1:
        raise Refusal(400, f"{steps[0]} and {steps[1]} are the same; give only one", param=steps[1])
    for name in EXTENSIONS:
        if name in there:
            one = there[name]
            is_text = isinstance(one, str) and name in NUMBERS
            given["steps" if name == "step" else name] = Text(one) if is_text else one
    if "lora" in given:
        given["lora"] = _loras(given["lora"])
    return given


def _loras(value: Any) -> list[Any]:
    """Return adapters as requests have them: `NAME`, `NAME:STRENGTH`, or an object.

    Other servers take an object with `name` and `scale`.
    """
    names = {"name": "source", "scale": "strength"}
    return [
        {names.get(key, key): part for key, part in one.items()} if isinstance(one, dict) else one
        for one in (value if isinstance(value, list) else [value])
    ]


def _format(there: Mapping[str, Any]) -> str:
    wanted = there.get("output_format", "png")
    wanted = "jpeg" if wanted == "jpg" else wanted
    if not isinstance(wanted, str) or wanted not in FORMATS:
        raise Refusal(
            400,
            f"output_format {shown(wanted)} is not supported; give {_either(tuple(FORMATS))}",
            param="output_format",
        )
    return wanted


def _choice(there: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """Return one of the choices, by default the first."""
    value = there.get(name, choices[0])
    text = str(value).lower() if isinstance(value, (str, bool)) else ""
    if text not in choices:
        raise Refusal(
            400,
            f"{name} {shown(value)} is not valid: it takes {_either(choices)}",
            param=name,
        )
    return text


def _integer(there: Mapping[str, Any], name: str, least: int, most: int, default: Any) -> Any:
    """Return a whole number in a range, which may be text."""
    value = there.get(name, default)
    if value is default:
        return default
    is_text = isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII)
    number = int(value) if is_text else value
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise Refusal(
            400,
            f"{name} {shown(value)} is not valid: it takes a whole number from {least} to {most}",
            param=name,
        )
    return number


def _text(there: Mapping[str, Any], name: str) -> str | None:
    value = there.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(400, f"{name} {shown(value)} is not text", param=name)
    return value


def _either(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
