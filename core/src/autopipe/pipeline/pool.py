"""The owner of the weights: what a set of views of one checkpoint have in common."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from ..attaching.attachment import Attachment
from ..attaching.engine import NetworkEngine, asking
from ..errors import ClosedPipelineError, PlacementError
from ..placement.base import Placement, Role, at_rest, placed_by, put, send, take
from ..placement.devices import check_here, give_back_memory
from ..placement.move import Move
from ..wording import logger, shown
from .portable import check_pickles, refused
from .turns import Turns

_log = logger(__name__)


_LASTING = ("closed", "placement", "attachments", "engines", "was_attached")
"""What is left of a pool in a pickle."""


class View(Protocol):
    """What a pool needs of a pipeline."""

    def _roles(self) -> dict[nn.Module, Role]:
        """The networks, and what each is to this pipeline."""

    def _drop_components(self) -> None:
        """Hold no component any more."""

    def _show_attached(self) -> None:
        """Follow a change of what is attached."""


class Pool:
    """Shared by all pipelines that `from_pipe` made of each other.

    It knows the views, places their networks, says whose turn it is, and gives the memory of all
    of them back at once.

    Attributes:
        attachments: the add-ons of these weights, by name; changed by replacing the mapping.
        engines: the engine of each network that has one; changed by replacing the mapping.
        was_attached: whether there ever was an add-on or an engine.
    """

    def __init__(self) -> None:
        self.closed = False
        self.placement = Placement()
        self.attachments: Mapping[str, Attachment] = {}
        self.engines: Mapping[nn.Module, NetworkEngine] = {}
        self.was_attached = False
        self._runners: dict[nn.Module, dict[str, Callable[..., Any]]] = {}
        self._said: set[str] = set()
        self._views = weakref.WeakValueDictionary[int, View]()
        self._known = weakref.WeakSet[nn.Module]()
        self.lock = threading.RLock()
        self._turns = Turns()

    def __deepcopy__(self, memo: dict[int, Any]) -> Pool:
        made = memo[id(self)] = Pool()
        made.closed, made.was_attached = self.closed, self.was_attached
        made.placement, made.engines = copy.deepcopy((self.placement, self.engines), memo)
        for name, attachment in self.attachments.items():
            with refused(f"the attachment {shown(name)}", attachment, "copied"):
                one = copy.deepcopy(attachment, memo)
                made.attachments = {**made.attachments, name: one}
        return made

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds; what belongs to this process is made anew from it."""
        for name, attachment in self.attachments.items():
            check_pickles(f"the attachment {shown(name)}", attachment, (Pool,))
        for engine in self.engines.values():
            check_pickles(f"the engine {shown(engine.name)}", engine, (Pool,))
        return {name: getattr(self, name) for name in _LASTING}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.__dict__.update(state)

    def views(self) -> list[View]:
        """All pipelines that share these weights."""
        with self.lock:
            return list(self._views.values())

    def join(self, view: View) -> None:
        """Count `view` among the users of these weights, and place what it brings."""
        with self.lock:
            self._views[id(view)] = view
        if self.placement.device is not None:
            with self._turns.take(alone=self.placement.moves):
                self._settle()

    # Placement

    def roles(self) -> dict[nn.Module, Role]:
        """The networks of all views, and what they are to them together.

        A network that is placed keeps its name; else the view that came first names it.
        """
        roles: dict[nn.Module, Role] = {}
        for view in self.views():
            for network, role in view._roles().items():
                found = placed_by(network)
                ours = found if found is not None and found[0] is self.placement else None
                known = roles.get(network, Role(role.name if ours is None else ours[1].name))
                in_turn = known.in_turn or role.in_turn
                stays = known.stays or role.stays
                roles[network] = Role(known.name, in_turn, stays and not in_turn)
        return roles

    def place(self, placement: Placement) -> None:
        """Place all networks by `placement` instead of how they were. Waits for running calls.

        Raises:
            PlacementError: this is asked for inside a call, or a device is not there.
        """
        for device in placement.devices:
            check_here(device)
        with self._turns.take(alone=True) as outside:
            if not outside:
                raise PlacementError(
                    "the networks can't be placed anew while a call uses them; do it before the "
                    "call or after it"
                )
            self._leave()
            self.placement = placement
            try:
                self._settle()
            except BaseException:
                self._leave()
                self.placement = Placement()
                raise

    def move(self, view: View, move: Move) -> None:
        """Move and cast the networks of `view`, as far as their placement lets them be moved.

        Raises:
            PlacementError: it doesn't let them, or the device is not there.
        """
        if move.device is not None:
            check_here(move.device)
        with self._turns.take(alone=True):
            networks = list(view._roles())
            if move.device is not None:
                for placement in {found[0] for n in networks if (found := placed_by(n))}:
                    placement.check_move(move.device)
                if not self.placement.moves:
                    self.placement = Placement()
            for network in networks:
                if placed_by(network) is None:
                    move.apply(network)
                elif move.dtype is not None:
                    with at_rest(network):
                        Move(dtype=move.dtype).apply(network)
            for attachment in self.attachments.values():
                if attachment.weights is not None:
                    move.apply(attachment.weights)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Inside, all networks hold their weights and have no hooks."""
        with self._turns.take(alone=self.placement.moves), at_rest(*self.roles()):
            yield

    @contextmanager
    def call(self, run: View, check: Callable[[], None]) -> Iterator[None]:
        """A call of `run`: wait for its turn, and afterwards bring everything back.

        Args:
            check: called while waiting; what it raises ends the wait.
        """
        while True:
            placement = self.placement
            with self._turns.take(alone=placement.moves, check=check) as outside:
                if outside and placement is not self.placement:
                    continue
                self.check_open(run)
                self._settle()
                failed = True
                try:
                    yield
                    failed = False
                finally:
                    if outside:
                        self.free(failed)
                return

    def free(self, failed: bool = False) -> None:
        """Let networks that a call brought to a device rest again."""
        self.placement.after_call(list(self._known), failed)

    def _settle(self) -> None:
        """Place what came, let go what no view has any more."""
        placement = self.placement
        if placement.device is None:
            return
        with self.lock:
            roles = self.roles()
            if not placement.moves:
                for network in roles:
                    # One with a hook is placed by another pool, or by its owner.
                    if not hasattr(network, "_hf_hook"):
                        send(network, placement.device)
                return
            for network in [one for one in self._known if one not in roles]:
                self._let_go(network)
            for network, role in roles.items():
                if placed_by(network) != (placement, role):
                    self._known.add(network)
                    put(network, placement, role)

    def _leave(self) -> None:
        with self.lock:
            for network in list(self._known):
                self._let_go(network)

    def _let_go(self, network: nn.Module) -> None:
        self._known.discard(network)
        found = placed_by(network)
        # Another pool may have placed it since.
        if found is not None and found[0] is self.placement:
            take(network)

    # Attachments and engines

    def bring(self, weights: nn.Module, device: torch.device) -> None:
        """Have the weights of an attachment where calls compute."""
        with self.lock:
            send(weights, device)

    def set_engines(self, engines: Mapping[nn.Module, NetworkEngine]) -> None:
        """Choose the engine of each network, and give back what others made."""
        with self.lock:
            for network in list(self._runners):
                self._release(network)
            self._said.clear()
            self.engines = dict(engines)

    def forget_gone(self) -> None:
        """Let engines give back what they made of networks that no view has any more."""
        with self.lock:
            for network in [one for one in self.engines if one not in self.roles()]:
                self._release(network)
                self.engines = {n: e for n, e in self.engines.items() if n is not network}

    def _release(self, network: nn.Module) -> None:
        if self._runners.pop(network, None):
            self.engines[network].release(network)

    def runner(self, network: nn.Module, engine: NetworkEngine) -> Callable[[str], Any]:
        """What gives, for a method of `network`, what `engine` made of it.

        In a call during which another engine is chosen, that is the network's own from then on.
        """

        def of(method: str) -> Callable[..., Any]:
            with self.lock:
                if self.engines.get(network) is not engine:
                    return network if method == "forward" else getattr(network, method)
                made = self._runners.setdefault(network, {})
                if method not in made:
                    with asking(engine):
                        made[method] = engine.prepare(network, method)
                return made[method]

        return of

    def say_once(self, text: str) -> None:
        """Log a warning, the first time."""
        with self.lock:
            if text not in self._said:
                _log.warning("%s", text)
            self._said.add(text)

    # The end

    def close(self) -> None:
        """Drop every component of every view, so that their memory is free."""
        with self.lock:
            self.closed = True
        self.set_engines({})
        self.attachments = {}
        for view in self.views():
            view._drop_components()
        gc.collect()
        give_back_memory()

    def check_open(self, view: object) -> None:
        """Raise `ClosedPipelineError` if the weights were given back."""
        if self.closed:
            raise ClosedPipelineError(
                f"this {type(view).__name__} was closed, or a pipeline that shares its weights "
                f"was; load the checkpoint again"
            )
