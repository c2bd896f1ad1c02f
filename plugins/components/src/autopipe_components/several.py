"""Combines several networks of one class into one component."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from autopipe.errors import ArgumentError
from autopipe.kinds import part_names
from autopipe.modeling import ModelMixin
from autopipe.pipeline.values import number


def numbers_for(name: str, given: Any, count: int, owners: str) -> tuple[float, ...]:
    """Return a number for each of several networks.

    Args:
        name: the name of the argument.
        given: a number for all of them, or a list with one for each.
        owners: what the networks are called in messages, such as `"ControlNets"`.

    Raises:
        ArgumentTypeError: if one is not a number.
        ArgumentError: if one is not finite, or there are more or fewer than networks.
    """
    each: tuple[Any, ...] = tuple(given) if isinstance(given, (list, tuple)) else (given,) * count
    found = tuple(number(name, one) for one in each)
    if len(found) != count:
        raise ArgumentError(
            f"{name} has {len(found)} numbers for {count} {owners}; give one for each, or a "
            f"single number"
        )
    return found


class SeveralModels(nn.Module):
    """Networks of one class that together form one component.

    In a checkpoint their folders are `name`, `name_1`, `name_2` and so on. A subclass names the
    class in `part_class`, and combines the networks in `forward`.

    Raises:
        ArgumentError: if `parts` is empty, or has a network of another class.
    """

    part_class: ClassVar[type[ModelMixin]]
    """The class of the networks."""
    attribute: ClassVar[str] = "nets"
    """The attribute with the networks, a module list, whose name is in the state dict."""

    def __init__(self, parts: Iterable[ModelMixin]) -> None:
        super().__init__()
        setattr(self, self.attribute, nn.ModuleList(parts))
        classes = [type(part) for part in self.parts]
        if not classes or not all(issubclass(kind, self.part_class) for kind in classes):
            raise ArgumentError(
                f"{type(self).__name__} needs one or more networks of class "
                f"{self.part_class.__name__}, and got "
                f"{', '.join(kind.__name__ for kind in classes) or 'none'}"
            )

    @property
    def parts(self) -> list[Any]:
        """The networks."""
        return list(getattr(self, self.attribute))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first network."""
        dtype: torch.dtype = self.parts[0].dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """The device of the first network."""
        device: torch.device = self.parts[0].device
        return device

    @staticmethod
    def part_name(name: str, number: int) -> str:
        """Return the name of network `number`, counted from 0, if the first is called `name`."""
        return f"{name}_{number}" if number else name

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **keywords: Any) -> None:
        """Save the first network in `save_directory`, the others beside it with `_1`, `_2`, ...

        Args:
            save_directory: the folder of the first network.
            *arguments, **keywords: as for `ModelMixin.save_pretrained`.
        """
        for index, part in enumerate(self.parts):
            folder = self.part_name(str(save_directory), index)
            part.save_pretrained(folder, *arguments, **keywords)

    @classmethod
    def from_pretrained(cls, pretrained_model_path: str | Path, **keywords: Any) -> Any:
        """Load the network in `pretrained_model_path` and those beside it with `_1`, `_2`, ...

        Args:
            pretrained_model_path: a local folder that `save_pretrained` wrote.
            **keywords: as for `ModelMixin.from_pretrained`.

        Raises:
            CheckpointError: if the folder doesn't exist.
        """
        parts: list[ModelMixin] = []
        while True:
            names = part_names(cls, str(pretrained_model_path), len(parts))
            folder = next((one for one in names if Path(one).is_dir()), None)
            if parts and folder is None:
                return cls(parts)
            parts.append(cls.part_class.from_pretrained(folder or names[0], **keywords))
