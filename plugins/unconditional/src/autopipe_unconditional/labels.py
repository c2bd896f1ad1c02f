"""The classes of images that a call asks for, by number or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError, nearest
from autopipe.wording import shown

ClassLabels: TypeAlias = "int | str | Sequence[int | str] | Tensor"
"""A class, or one for each image: numbers, or names that the checkpoint gives them."""


def label_ids(
    given: ClassLabels, classes: int, names: Mapping[str, int] = MappingProxyType({})
) -> list[int]:
    """Return the numbers of the classes that the argument `class_labels` asks for.

    Args:
        classes: the number of classes. The number after the last one stands for no class.
        names: the classes by name.

    Raises:
        ArgumentError: if there is no such class, or the list is empty.
        ArgumentTypeError: if it has another type.
    """
    if isinstance(given, Tensor):
        if given.is_floating_point() or given.is_complex() or given.is_meta:
            raise ArgumentTypeError(
                f"class_labels is {shown(given)}; give whole numbers, such as a list of int"
            )
        items: list[Any] = given.reshape(-1).tolist()
    else:
        items = list(given) if isinstance(given, (list, tuple)) else [given]
    if not items:
        raise ArgumentError("class_labels is empty; give at least one class")
    return [_id(one, classes, names) for one in items]


def _id(given: Any, classes: int, names: Mapping[str, int]) -> int:
    if isinstance(given, str):
        given = named(given, names)
    if isinstance(given, bool) or not isinstance(given, int):
        raise ArgumentTypeError(
            f"class_labels has {shown(given)}; give whole numbers or names of classes"
        )
    if not 0 <= given <= classes:
        raise ArgumentError(
            f"class_labels has {shown(given)}; the classes are 0 to {classes - 1}, and {classes} "
            f"stands for none"
        )
    return given


def named(name: str, names: Mapping[str, int]) -> int:
    """Return the number of the class called `name`.

    Raises:
        ArgumentError: if there is no such class.
    """
    if name not in names:
        raise ArgumentError(
            f"there is no class {shown(name)}.{nearest(name, names)} "
            + ("`labels` has all names" if names else "This checkpoint names none; give a number")
        )
    return names[name]


def names_of(id2label: Any) -> dict[str, int]:
    """Return the classes by name, sorted, from the entry `id2label` of an index.

    Args:
        id2label: by number, a name, or several with commas between them.

    Raises:
        ConfigError: if it isn't a mapping from numbers to texts.
    """
    found: dict[str, int] = {}
    if not isinstance(id2label, Mapping):
        raise ConfigError(f"id2label is {shown(id2label)}; it must map numbers to names")
    for key, words in id2label.items():
        is_number = isinstance(key, (int, str)) and str(key).isdecimal() and len(str(key)) < 9
        if not is_number or not isinstance(words, str):
            raise ConfigError(
                f"id2label has {shown(key)} for {shown(words)}; it must map numbers to names"
            )
        found.update({word.strip(): int(key) for word in words.split(",")})
    return dict(sorted(found.items()))
