"""The extension interface: one hook, which the entry-point module of a plugin implements."""

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
        """Return the manifest. Called once per process; it must not import anything heavy."""
        raise NotImplementedError
