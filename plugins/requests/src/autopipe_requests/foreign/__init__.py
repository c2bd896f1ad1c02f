"""Texts that other programs write into their pictures, as settings of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import a1111, comfyui, invokeai
from .found import Foreign

__all__ = ["Foreign", "foreign_of"]

READERS: Mapping[str, Callable[[str], Foreign]] = {
    "invokeai_metadata": invokeai.read,
    "sd-metadata": invokeai.read_older,
    "Dream": invokeai.read_command,
    "parameters": a1111.read,
    "prompt": comfyui.read,
}
"""The texts that are read, in the order in which one is chosen."""


def foreign_of(texts: Mapping[str, str]) -> Foreign | None:
    """Return the settings that another program wrote, or None if there are none that are known.

    Args:
        texts: the texts of a picture by name.

    Raises:
        ArgumentError: if the text isn't what the program writes.
    """
    return next((read(texts[name]) for name, read in READERS.items() if name in texts), None)
