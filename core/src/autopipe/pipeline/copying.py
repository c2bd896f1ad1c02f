"""Copies of pipelines: `copy.copy`, `copy.deepcopy`, and pickles, such as other processes get.

Locks, running calls and who is whose view belong to one process and one object; every copy begins
with its own. What is attached and which engines are chosen goes along.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import nn

from ..attaching.network_view import origin_of
from ..errors import PlacementError
from .call import CallMixin
from .portable import without_hooks

_Self = TypeVar("_Self", bound="CopyingMixin")


class CopyingMixin(CallMixin):
    """What copying a pipeline means."""

    def __copy__(self: _Self) -> _Self:
        """A pipeline on the same components, scheduler included, with calls of its own."""
        return self._blank()._become(self._state())

    def __deepcopy__(self: _Self, memo: dict[int, Any]) -> _Self:
        """A pipeline with weights of its own, placed in the same way.

        It waits for calls that have the networks for themselves.

        Raises:
            ArgumentTypeError: something that is attached can't be copied.
        """
        made = memo[id(self)] = self._blank()
        with self._pool.at_rest():
            state = copy.deepcopy(self._state(), memo)
        return made._become(state)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds.

        Raises:
            PlacementError: the networks are offloaded, or placed by a device map.
            ArgumentTypeError: something that is attached, or an engine, can't be pickled.
        """
        if self._pool.placement.moves:
            raise PlacementError(
                f"a {type(self).__name__} can't be pickled, nor sent to another process, while "
                f"its networks are placed by {self._pool.placement.title}: they hold hooks of "
                f"this process; call remove_all_hooks() before, and place the copy anew"
            )
        state = self._state()
        networks = {n: one for n, one in state.items() if isinstance(one, nn.Module)}
        return {**state, **{n: without_hooks(one) for n, one in networks.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._become(state)

    def _blank(self: _Self) -> _Self:
        made: _Self = object.__new__(type(self))
        return made

    def _state(self) -> dict[str, Any]:
        """The attributes that a copy has too; networks without what is attached to them."""
        names = type(self).module_names()
        state = {n: value for n, value in self.__dict__.items() if n not in self._of_calls}
        state.update({n: origin_of(state[n]) for n in names if n in state})
        return {n: dict(v) if type(v) is dict else v for n, v in state.items()}

    def _become(self: _Self, state: dict[str, Any]) -> _Self:
        self.__dict__.update(state)
        self._reset_call_state()
        self._pool.join(self)
        if not self._pool.closed:
            self._show_attached()
        return self
