"""The whole extension interface: one hook, which a plugin's entry-point module implements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .manifest import Manifest

PROJECT = "autopipe"
ENTRY_POINT_GROUP = "autopipe.families"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks the function `autopipe_family` of a plugin, which returns its manifest."""


class Hooks:
    """The hooks that autopipe calls."""

    @hookspec
    def autopipe_family(self) -> Manifest:
        """Return the manifest. Called once in a process; must import nothing heavy."""
        raise NotImplementedError
