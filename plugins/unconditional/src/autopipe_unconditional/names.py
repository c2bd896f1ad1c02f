"""The names that a checkpoint gives to its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.errors import ArgumentError, ConfigError, nearest
from autopipe.wording import listed, shown

_MOST = 1 << 17
"""The most names of a checkpoint, far above those of any published one."""


def names_of(id2label: Any) -> dict[str, int]:
    """Return the numbers of classes by name, sorted, from the entry `id2label` of an index.

    Args:
        id2label: by number, a name, or several with commas between them; None for no names.

    Raises:
        ConfigError: if it isn't a mapping from numbers to texts, or has more than 131,072 names.
    """
    if id2label is None:
        return {}
    if not isinstance(id2label, Mapping):
        raise ConfigError(f"id2label is {shown(id2label)}; it must map numbers to names")
    found: dict[str, int] = {}
    for key, words in id2label.items():
        is_number = isinstance(key, (int, str)) and str(key).isdecimal() and len(str(key)) < 9
        if not is_number or not isinstance(words, str):
            raise ConfigError(
                f"id2label has {shown(key)} for {shown(words)}; it must map numbers to names"
            )
        found.update({word.strip(): int(key) for word in words.split(",")})
        if len(found) > _MOST:
            raise ConfigError(f"id2label has more than {_MOST:,} names; give fewer")
    return dict(sorted(found.items()))


def numbers_of(labels: Any, names: Mapping[str, int]) -> Any:
    """Return `labels`, one or a list, with numbers in place of names.

    Raises:
        ArgumentError: if there is no class of such a name.
    """
    if isinstance(labels, (list, tuple)):
        return [numbers_of(one, names) for one in labels]
    if not isinstance(labels, str):
        return labels
    if labels not in names:
        known = f"known are {listed(names, 10)}" if names else "this checkpoint names none"
        raise ArgumentError(
            f"class_labels names {shown(labels)}, which is not a class; {known}."
            f"{nearest(labels, names)}"
        )
    return names[labels]
