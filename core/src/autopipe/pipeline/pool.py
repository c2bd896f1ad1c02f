"""The pool: the owner of the weights that several pipelines share."""

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
from ..attaching.engine import EngineNetwork, EngineRefusal, NetworkEngine, name_of
from ..attaching.network_view import origin_of
from ..errors import ClosedPipelineError, PlacementError
from ..placement.base import Placement, Role, at_rest, placed_by, put, send, take
from ..placement.devices import check_here, give_back_memory
from ..placement.move import Move
from ..placement.room import check_weights
from ..wording import logger, shown
from .portable import check_pickles, refused
from .prepared import Form, Prepared
from .turns import Turns

_log = logger(__name__)


_LASTING = ("closed", "placement", "attachments", "brought", "engines", "was_attached")
"""The attributes of a pool in a pickle."""


class View(Protocol):
    """What a pool uses of a pipeline."""

    _strengths: dict[str, Any]

    def _roles(self) -> dict[nn.Module, Role]:
        """Return the role of each network in this pipeline."""

    def _drop_components(self) -> None:
        """Drop all references to components."""

    def _show_attached(self) -> None:
        """Update the views of networks after a change of attachments."""

    def _give_back(self, brought: Mapping[str, Any]) -> None:
        """Remove the components that an attachment brought."""


class Pool:
    """The state that pipelines made by `from_pipe` share.

    It knows the pipelines (its views), places their networks, schedules their calls, and releases
    the memory of all of them at once.

    Attributes:
        attachments: the attachments of these weights, by name; replaced as a whole.
        brought: the components that attachments brought, by the attachment's name and their own.
        engines: the engine of each network, None for eager mode, and empty if no network has one;
            replaced as a whole.
        prepared: what the engines prepared.
        was_attached: whether there has ever been an attachment or an engine.
    """

    def __init__(self) -> None:
        self.closed = False
        self.placement = Placement()
        self.attachments: Mapping[str, Attachment] = {}
        self.brought: dict[str, Mapping[str, Any]] = {}
        self.engines: Mapping[nn.Module, NetworkEngine | None] = {}
        self.was_attached = False
        self._warned: set[str] = set()
        self._views = weakref.WeakValueDictionary[int, View]()
        self._known = weakref.WeakSet[nn.Module]()
        self.lock = threading.RLock()
        self.prepared = Prepared(self.lock)
        self._turns = Turns()

    def __deepcopy__(self, memo: dict[int, Any]) -> Pool:
        made = memo[id(self)] = Pool()
        made.closed, made.was_attached = self.closed, self.was_attached
        made.placement, made.engines = copy.deepcopy((self.placement, self.engines), memo)
        for name, attachment in self.attachments.items():
            with refused(f"the attachment {shown(name)}", attachment, "copied"):
                one = copy.deepcopy(attachment, memo)
                made.attachments = {**made.attachments, name: one}
        made.brought = copy.deepcopy(self.brought, memo)
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle, without what belongs to this process."""
        for name, attachment in self.attachments.items():
            check_pickles(f"the attachment {shown(name)}", attachment, (Pool,))
        for engine in filter(None, self.engines.values()):
            check_pickles(f"the engine {shown(engine.name)}", engine, (Pool,))
        return {name: getattr(self, name) for name in _LASTING}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.__dict__.update(state)

    def views(self) -> list[View]:
        """Return all pipelines that share these weights."""
        with self.lock:
            return list(self._views.values())

    def join(self, view: View) -> None:
        """Add `view` to the users of these weights, and place its networks."""
        with self.lock:
            self._views[id(view)] = view
        if self.placement.device is not None:
            with self._turns.take(alone=self.placement.moves):
                self._settle()

    # Placement

    def roles(self) -> dict[nn.Module, Role]:
        """Return the role of each network, combined over all views.

        A network that is already placed keeps its name; otherwise the first view names it.
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
        """Replace the placement of all networks. Waits for running calls.

        Raises:
            PlacementError: if this is called inside a call, or a device is not available.
        """
        for device in placement.devices:
            check_here(device)
        with self._turns.take(alone=True) as outside:
            if not outside:
                raise PlacementError(
                    "the placement can't be changed inside a call; change it before or after the "
                    "call"
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
        """Move and cast the networks of `view`.

        Raises:
            PlacementError: if the placement doesn't allow the move, or the device is not available
                or too small.
        """
        if move.device is not None:
            check_here(move.device)
        with self._turns.take(alone=True):
            networks = list(view._roles())
            if move.device is not None:
                for placement in {found[0] for n in networks if (found := placed_by(n))}:
                    placement.check_move(move.device)
                own = [one for one in networks if placed_by(one) is None]
                check_weights(own, move.device, move.dtype.itemsize if move.dtype else None)
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
        """Context manager in which all networks have their weights and no hooks."""
        with self._turns.take(alone=self.placement.moves), at_rest(*self.roles()):
            yield

    @contextmanager
    def call(self, run: View, check: Callable[[], None]) -> Iterator[None]:
        """Context manager for a call of `run`: wait for its turn, and offload networks afterwards.

        Args:
            check: called while waiting; an exception that it raises ends the wait.
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
        """Offload the networks that a call moved to a device."""
        self.placement.after_call(list(self._known), failed)

    def _settle(self) -> None:
        """Place new networks, and release those that no view uses any more."""
        placement = self.placement
        if placement.device is None:
            return
        with self.lock:
            roles = self.roles()
            if not placement.moves:
                for network in roles:
                    # A network with a hook is placed by another pool, or by its owner.
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
        # Another pool may have placed it in the meantime.
        if found is not None and found[0] is self.placement:
            take(network)

    # Attachments and engines

    def bring(self, weights: nn.Module, device: torch.device) -> None:
        """Move the weights of an attachment to the device of calls."""
        with self.lock:
            send(weights, device)

    def set_engines(self, engines: Mapping[nn.Module, NetworkEngine | None]) -> None:
        """Set the engine of each network, and release what the previous engines prepared."""
        with self.lock:
            self.prepared.release_all()
            self._warned.clear()
            self.engines = dict(engines) if any(engines.values()) else {}

    def forget_gone(self) -> None:
        """Let engines release networks that no view uses any more."""
        with self.lock:
            for network in [one for one in self.engines if one not in self.roles()]:
                self.prepared.release(network)
                self.engines = {n: e for n, e in self.engines.items() if n is not network}

    def stand_in(self, name: str, network: nn.Module, engine: NetworkEngine) -> EngineNetwork:
        """Return what runs `network`, or a view of it, by `engine` in a call.

        After another engine is chosen during the call, the network runs by itself.

        Args:
            name: the name of the component, for warnings.
        """
        origin, own = origin_of(network), None
        if network is origin:
            self.prepared.renew(network, engine)
        else:
            own = Form(engine, network)

        def function(method: str) -> Callable[..., Any] | None:
            with self.lock:
                form = own or self.prepared.form(network)
                if form is None or self.engines.get(origin) is not engine:
                    return None
                return form.function(method)

        def run(method: str, *args: Any, **kwargs: Any) -> Any:
            try:
                if torch.is_grad_enabled():
                    raise EngineRefusal("its gradients are recorded")
                prepared = function(method)
                if prepared is not None:
                    return prepared(*args, **kwargs)
            except EngineRefusal as refusal:
                self.warn_not_run(name, engine, str(refusal))
            plain = network if method == "forward" else getattr(network, method)
            return plain(*args, **kwargs)

        return EngineNetwork(network, run)

    def warn_not_run(self, name: str, engine: NetworkEngine, why: str) -> None:
        """Log once why `engine` doesn't run the component of this name."""
        self.warn_once(f"{name_of(engine)} doesn't run {name} now: {why}")

    def warn_once(self, text: str) -> None:
        """Log a warning, but not a second time."""
        with self.lock:
            if text not in self._warned:
                _log.warning("%s", text)
            self._warned.add(text)

    # Closing

    def close(self) -> None:
        """Drop all components of all views, which releases their memory."""
        with self.lock:
            self.closed = True
        self.set_engines({})
        self.attachments, self.brought = {}, {}
        for view in self.views():
            view._drop_components()
        gc.collect()
        give_back_memory()

    def check_open(self, view: object) -> None:
        """Raise `ClosedPipelineError` if the weights were released."""
        if self.closed:
            raise ClosedPipelineError(
                f"this {type(view).__name__} was closed, or a pipeline that shares its weights "
                f"was; load the checkpoint again"
            )
