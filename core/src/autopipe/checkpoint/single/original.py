"""Reads the config that the authors of a checkpoint publish beside a single file.

It is YAML. Only what JSON can say is read: nothing that it names is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ArgumentTypeError, ConfigError
from ...regular import opened
from ...wording import cut, shown

_LARGEST = 1 << 20
"""In bytes; published ones have some thousand."""


def read_original(given: object) -> dict[str, Any]:
    """Return the content of an original config: a path, the text itself, or a mapping.

    Raises:
        ArgumentTypeError: if `given` is none of these.
        ConfigError: if there is no such file, or it is not YAML with a mapping `model.params`.
    """
    if isinstance(given, Mapping):
        return _checked(dict(given), "original_config")
    if not isinstance(given, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"original_config must be a path, the text of a YAML file, or a dict, not "
            f"{shown(given)}"
        )
    text = os.fspath(given)
    if isinstance(given, str) and "\n" in given:
        return _checked(_parsed(given, "original_config"), "original_config")
    if text.startswith(("http://", "https://")):
        raise ConfigError(
            f"original_config={shown(text)} is a URL, which is not fetched; download the file and "
            f"give its path"
        )
    file = Path(text).expanduser()
    try:
        with opened(file, _LARGEST) as stream:
            content = stream.read().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the original_config {shown(text)} can't be read: {error}") from error
    return _checked(_parsed(content, str(file)), str(file))


def _parsed(text: str, origin: str) -> Any:
    import yaml

    if len(text) > _LARGEST:
        raise ConfigError(f"{origin} has {len(text):,} characters; the limit is {_LARGEST:,}")
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            # Aliases can stand for far more than the text has, and tags for objects.
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
                raise ValueError(f"line {event.start_mark.line + 1} has an alias or a tag")
        return json.loads(json.dumps(yaml.safe_load(text)))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{origin} is not plain YAML ({cut(str(error), 200)}); fetch it again"
        ) from error


def _checked(content: Any, origin: str) -> dict[str, Any]:
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, Mapping) or not isinstance(model.get("params"), Mapping):
        raise ConfigError(
            f"{origin} has no 'model' with 'params', so it is not the config of a checkpoint in "
            f"the layout of its authors; config= takes the folder of a checkpoint"
        )
    return dict(content)
