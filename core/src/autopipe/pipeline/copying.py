"""Copies of pipelines: `copy.copy`, `copy.deepcopy`, and pickles for other processes.

Locks, running calls and links between views belong to one object in one process; every copy starts
with new ones. Attachments and engines are copied.
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
    """Makes pipelines copyable."""

    def __copy__(self: _Self) -> _Self:
        """Return a pipeline with the same components, including the scheduler, and no calls."""
        return self._blank()._become(self._state())

    def __deepcopy__(self: _Self, memo: dict[int, Any]) -> _Self:
        """Return a pipeline with its own weights, placed in the same way.

        Waits for calls with exclusive use of the networks.

        Raises:
            ArgumentTypeError: if an attachment can't be copied.
        """
        made = memo[id(self)] = self._blank()
        with self._pool.at_rest():
            state = copy.deepcopy(self._state(), memo)
        return made._become(state)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle.

        Raises:
            PlacementError: if the networks are offloaded, or placed by a device map.
            ArgumentTypeError: if an attachment or an engine can't be pickled.
        """
        if self._pool.placement.moves:
            raise PlacementError(
                f"{type(self).__name__} can't be pickled, or sent to another process, while its "
                f"networks are placed by {self._pool.placement.title}, because they have hooks of "
                f"this process; call remove_all_hooks() first, and place the copy again"
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
        """The attributes for a copy; components are those without attachments."""
        names = type(self).module_names()
        state = {n: value for n, value in self.__dict__.items() if n not in self._of_calls}
        state.update({n: origin_of(state[n]) for n in names if n in state})
        state.update(state.pop("_replaced", {}))
        return {n: dict(v) if type(v) is dict else v for n, v in state.items()}

    def _become(self: _Self, state: dict[str, Any]) -> _Self:
        self.__dict__.update(state)
        self._reset_call_state()
        self._pool.join(self)
        if not self._pool.closed:
            self._show_attached()
        return self
