"""The scales of layers that a file's metadata gives, where its keys have no alpha.

The reference writes the settings of peft as JSON under `lora_adapter_metadata`: `lora_alpha`, with
others by layer in `alpha_pattern`, whose keys are regular expressions for the end of a path. peft
alone writes them into a file of their own.
"rsLoRA" divides by the square root of the rank ("A Rank Stabilization Scaling Factor for
Fine-Tuning with LoRA", Kalajdzievski, 2023).
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from autopipe.checkpoint.attachable import TensorFile
from autopipe.errors import ConfigError
from autopipe.json_files import parse_json, read_json_object
from autopipe.wording import logger, shown

_log = logger(__name__)

KEY = "lora_adapter_metadata"

_PEFT_FILE = "adapter_config.json"
_PEFT_START = "base_model.model."

_PEFT_ALPHA = 8.0
"""What peft takes if its settings name no alpha."""

_MOST_WILD = 100
_LITERAL = re.compile(r"[\w.-]*", re.ASCII)
_WILD = re.compile(r"(?:[\w.*-]|\\\.)*", re.ASCII)


_Ranked = tuple[int, float]
"""The place of an alpha among those of the settings, of which the first counts, and the alpha."""


def metadata_of(file: TensorFile) -> Mapping[str, str]:
    """Return the metadata of a file, with the settings that peft alone writes beside it.

    Raises:
        ConfigError: if these settings can't be read.
    """
    written = file.path is not None and any(name.startswith(_PEFT_START) for name in file.content)
    if not written or file.path is None or KEY in file.metadata:
        return file.metadata
    beside = file.path.with_name(_PEFT_FILE)
    if not beside.is_file():
        _log.warning(
            "%s was written by peft, without its %s beside it; the scale is taken as 1",
            file.origin,
            _PEFT_FILE,
        )
        return file.metadata
    return {**file.metadata, KEY: json.dumps(read_json_object(beside))}


@dataclass(frozen=True)
class Settings:
    """The settings of one component.

    Attributes:
        alpha: of the layers that have no own one; None means their rank.
        exact: alphas by whole path.
        ends: alphas by the end of a path, from a dot on.
        wild: alphas by expressions with `.*`.
        stabilised: whether alpha is divided by the square root of the rank.
    """

    alpha: float | None = None
    exact: Mapping[str, _Ranked] = field(default_factory=dict)
    ends: Mapping[str, _Ranked] = field(default_factory=dict)
    wild: tuple[tuple[re.Pattern[str], _Ranked], ...] = ()
    stabilised: bool = False

    def scale(self, names: Iterable[str], rank: int) -> float:
        """Return the scale of a layer.

        Args:
            names: the path of the module in the file, and in the network.
        """
        alpha = min((one for name in names for one in self._alphas(name)), default=(0, self.alpha))[
            1
        ]
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.stabilised else rank)

    def _alphas(self, name: str) -> Iterator[_Ranked]:
        if name in self.exact:
            yield self.exact[name]
        yield from (ranked for form, ranked in self.wild if form.match(name))
        while name and self.ends:
            if name in self.ends:
                yield self.ends[name]
            name = name.partition(".")[2]


def read_settings(metadata: Mapping[str, str], component: str) -> Settings:
    """Return the settings that the metadata of a file has for a component.

    Raises:
        ConfigError: if they are not what peft writes.
    """
    text = metadata.get(KEY)
    if text is None:
        return Settings()
    try:
        if not isinstance(text, str):
            raise ValueError(f"it is a {type(text).__name__}")
        found = parse_json(text.encode("utf-8", "surrogatepass"))
        if not isinstance(found, dict):
            raise ValueError("it is not an object")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{KEY} of the file is not a JSON object: {error}") from error
    prefix = f"{component}."
    own = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    # A file of one network has settings without its name.
    return _settings(own or {k: v for k, v in found.items() if "." not in k})


def _settings(values: Mapping[str, Any]) -> Settings:
    if not values:
        return Settings()
    patterns = values.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise ConfigError(f"alpha_pattern is {shown(patterns)}; it must be an object")
    stabilised = values.get("use_rslora") or False
    if not isinstance(stabilised, bool):
        raise ConfigError(f"use_rslora is {shown(stabilised)}; it must be true or false")
    exact: dict[str, _Ranked] = {}
    ends: dict[str, _Ranked] = {}
    wild: list[tuple[re.Pattern[str], _Ranked]] = []
    for place, (pattern, value) in enumerate(patterns.items()):
        ranked = (place, _number(f"alpha_pattern[{shown(pattern)}]", value))
        form = pattern.removesuffix("$").replace(r"\.", ".")
        if _LITERAL.fullmatch(form.removeprefix("^")):
            (exact if form.startswith("^") else ends).setdefault(form.removeprefix("^"), ranked)
        else:
            wild.append((_expression(pattern), ranked))
    if len(wild) > _MOST_WILD:
        raise ConfigError(f"alpha_pattern has {len(wild):,} expressions; {_MOST_WILD} are allowed")
    alpha = _number("lora_alpha", values.get("lora_alpha", _PEFT_ALPHA))
    return Settings(alpha, exact, ends, tuple(wild), stabilised)


def _expression(pattern: str) -> re.Pattern[str]:
    """Return an expression that needs no backtracking, whatever stands in the file."""
    form = pattern.removesuffix("$")
    if not _WILD.fullmatch(form.removeprefix("^")) or "*" in form.replace(".*", ""):
        raise ConfigError(
            f"alpha_pattern has the expression {shown(pattern)}; only names with .* are supported"
        )
    glob = form.removeprefix("^").replace(".*", "*").replace(r"\.", ".")
    start = "" if form.startswith("^") else r"(?:.*\.)?"
    return re.compile(start + fnmatch.translate(glob))


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} is {shown(value)}; it must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{name} is {shown(value)}; it must be a finite number")
    return number
