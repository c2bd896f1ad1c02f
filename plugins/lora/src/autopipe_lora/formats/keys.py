"""Tells what each key of a LoRA file holds, in every way of naming keys."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LONGEST = 1000
"""Of keys, in characters; those of real files have less than 200."""

_KEY = re.compile(
    r"(?:"
    # peft; state dicts that weren't prepared for saving have the adapter's name in them.
    r"\.lora_(?P<peft>[AB])(?:\.[^.]+)?\.(?P<peft_part>weight|bias)"
    # The attention processors of early 2023, then layers of their own.
    r"|(?P<early>_lora|\.lora|\.lora_linear_layer)\.(?P<way>down|up)\.(?P<part>weight|bias)"
    # Processors that have such layers for several streams number them.
    r"|_lora(?P<stream>\d)\.(?P<stream_way>down|up)\.(?P<stream_part>weight|bias)"
    r"|\.lora_(?P<scripts>down|up|mid)\.(?P<scripts_part>weight|bias)"
    r"|\.lora_(?P<magnitude>magnitude_vector)(?:\.[^.]+){0,2}"
    r"|\.(?P<lycoris>(?:hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)))(?:\.[^.]+)?"
    r"|\.(?P<own>alpha|dora_scale|diff|diff_b)"
    r")\Z"
)

_REFUSED = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"[._]b?oft_(?:blocks|diag|r|s|R)\b", "OFT, a rotation of weights"),
        (r"[._]ia3_l\b|\.on_input\Z", "IA3, a scale of each channel"),
        (r"[._]vera_lambda", "VeRA, which shares random matrices"),
        (r"\.[ab][12]\.weight\Z", "GLoRA"),
        (r"\Alora_controlnet\Z", "a Control-LoRA, which makes a ControlNet of a U-Net"),
        (r":\d+:(?:up|down)\Z", "layers of 2022, which are numbered instead of named"),
    )
)
"""Kinds of files that can't be read, by a key that proves them."""

_SKIPPED = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"[._](?:w_norm|b_norm)\Z", "it changes a normalisation, which isn't supported"),
        (r"\.lora_embedding_[AB]", "it changes a table of embeddings, which isn't supported"),
        (r"\Abundle_emb\.|\Aemb_params\Z", "it is an embedding: load it as a textual inversion"),
        (r"\.bias\Z", "it is a bias of the network itself, which a LoRA file doesn't replace"),
        (r"\.weight\Z", "it is a weight of the network itself, which a LoRA file doesn't replace"),
    )
)
_UNKNOWN = "its name is unknown"


@dataclass(frozen=True)
class Key:
    """What a key holds.

    Attributes:
        stem: the part of the key that names the module.
        role: "down", "up", "mid", "up_bias", "magnitude", "alpha" and the names that LyCORIS has.
        style: the way of naming keys, for the report.
    """

    stem: str
    role: str
    style: str


def read_key(name: str) -> Key | None:
    """Return what the key `name` holds; None if it isn't part of a layer."""
    match = None if len(name) > _LONGEST else _KEY.search(name)
    if match is None:
        return None
    found, stem = match.groupdict(), name[: match.start()]
    if way := found["peft"]:
        return _pair(stem, "down" if way == "A" else "up", found["peft_part"], "peft")
    if way := found["way"]:
        style = "diffusers, early 2023" if found["early"] == "_lora" else "diffusers, late 2023"
        return _pair(stem, way, found["part"], style)
    if way := found["stream_way"]:
        stem += found["stream"]
        return _pair(stem, way, found["stream_part"], "numbered processors")
    if way := found["scripts"]:
        return _pair(stem, way, found["scripts_part"], "sd-scripts")
    if found["magnitude"]:
        return Key(stem, "magnitude", "")
    if role := found["lycoris"]:
        return Key(stem, role, "LoHa" if role.startswith("hada") else "LoKr")
    role = found["own"]
    return Key(stem, role, "weight differences" if role.startswith("diff") else "")


def refused_kind(name: str) -> str | None:
    """Return the kind of file that the key `name` proves, if files of that kind are refused."""
    short = name[-_LONGEST:]
    return next((kind for pattern, kind in _REFUSED if pattern.search(short)), None)


def why_skipped(name: str) -> str:
    """Return why the key `name` of no layer isn't used."""
    short = name[-_LONGEST:]
    return next((reason for pattern, reason in _SKIPPED if pattern.search(short)), _UNKNOWN)


def _pair(stem: str, way: str, part: str, style: str) -> Key | None:
    if part == "weight":
        return Key(stem, way, style)
    # Only the second of two matrices can have a bias: that of the first would be a bias, too.
    return Key(stem, "up_bias", style) if way == "up" else None
