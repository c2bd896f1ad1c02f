"""Several networks of one class in the place of one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin


class SeveralModels(nn.Module):
    """Networks of one class that together stand for one component.

    In a checkpoint they are folders side by side: `name`, `name_1`, `name_2`, ... Subclasses name
    the class, and say in `forward` how the networks work together.

    Raises:
        ArgumentError: there is no network, or one of another class.
    """

    part_class: ClassVar[type[ModelMixin]]

    def __init__(self, parts: Iterable[ModelMixin]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(parts)
        found = [type(part) for part in self.nets]
        if not found or not all(issubclass(kind, self.part_class) for kind in found):
            raise ArgumentError(
                f"{type(self).__name__} needs networks of class {self.part_class.__name__}, at "
                f"least one, and got {', '.join(kind.__name__ for kind in found) or 'none'}"
            )

    @property
    def parts(self) -> list[Any]:
        """The networks."""
        return list(self.nets)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first network."""
        found: torch.dtype = self.parts[0].dtype
        return found

    @property
    def device(self) -> torch.device:
        """The device of the first network."""
        found: torch.device = self.parts[0].device
        return found

    @staticmethod
    def part_name(name: str, number: int) -> str:
        """What part `number`, from 0, is called, if the first is `name`."""
        return f"{name}_{number}" if number else name

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **keywords: Any) -> None:
        """Write the first network into `save_directory`, the others beside it: `..._1`, `..._2`.

        Args:
            save_directory: the folder of the first.
            *arguments, **keywords: as for `ModelMixin.save_pretrained`.
        """
        for number, part in enumerate(self.parts):
            folder = self.part_name(str(save_directory), number)
            part.save_pretrained(folder, *arguments, **keywords)

    @classmethod
    def from_pretrained(cls, pretrained_model_path: str | Path, **keywords: Any) -> Any:
        """Load the network in `pretrained_model_path` and those beside it: `..._1`, `..._2`.

        Args:
            pretrained_model_path: a local folder that `save_pretrained` wrote.
            **keywords: as for `ModelMixin.from_pretrained`.

        Raises:
            CheckpointError: there is no such folder.
        """
        parts: list[ModelMixin] = []
        while True:
            folder = cls.part_name(str(pretrained_model_path), len(parts))
            if parts and not Path(folder).is_dir():
                return cls(parts)
            parts.append(cls.part_class.from_pretrained(folder, **keywords))
