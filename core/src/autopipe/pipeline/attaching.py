"""Add-ons and engines of a pipeline: attaching, switching, and what a call makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..attaching.attachment import Attachment, Encode, Predict
from ..attaching.engine import EngineNetwork, NetworkEngine, asking
from ..attaching.network_view import origin_of, view_of
from ..errors import ArgumentError, ArgumentTypeError, PluginError, nearest
from ..registry import default_registry
from ..resolution.guard import guarded
from ..resolution.targets import load_target
from ..wording import listed, logger, shown
from .components import ComponentsMixin
from .values import number

_log = logger(__name__)

_Self = TypeVar("_Self", bound="AttachingMixin")


class AttachingMixin(ComponentsMixin):
    """What a pipeline offers for add-ons and engines."""

    _strengths: dict[str, float]
    """The attachments that are on, with how strongly; of a run, those of its call."""

    # Add-ons

    def attach(
        self,
        addon: str | Attachment,
        source: str | Path | None = None,
        *,
        name: str | None = None,
        strength: float = 1.0,
        **options: Any,
    ) -> Attachment:
        """Attach an add-on, and switch it on for this pipeline.

        Pipelines that share the weights can switch it on too, by `set_attachments`. While it
        changes a network, the attribute of that component is a view of the network, in which the
        add-on acts; saving and `from_pipe` take the network itself.

        Args:
            addon: the name of an installed add-on, or an `Attachment`.
            source: with a name, what to load: a file, a folder or a repository, as it says.
            name: what to call it here; its own name if absent.
            strength: how strongly it acts.
            **options: with a name, for its class.

        Raises:
            MissingPluginError: no installed plugin has an add-on of that name.
            ArgumentError: something of that name is attached already, or it doesn't fit.
        """
        self._pool.check_open(self)
        given = () if source is None else (source,)
        made: Attachment = _made("addon", Attachment, addon, *given, **options)
        own = addon if isinstance(addon, str) else made.name or type(made).__name__.lower()
        if name is not None and not isinstance(name, str):
            raise ArgumentTypeError(f"name={shown(name)} is not a text")
        label = name or own
        _strength(label, strength)
        made.check(self)
        pool = self._pool
        with pool.lock:
            if label in pool.attachments:
                raise ArgumentError(
                    f"something called {shown(label)} is attached already; detach it, or give name="
                )
            before, strengths = pool.attachments, self._strengths
            if made.weights is not None:
                made.weights.to(dtype=self.dtype)
            pool.was_attached = True
            pool.attachments = {**before, label: made}
            try:
                self.set_attachments({**strengths, label: strength})
            except BaseException:
                pool.attachments, self._strengths = before, strengths
                self._show_attached()
                raise
        return made

    def detach(self, name: str) -> None:
        """Take an add-on away from all pipelines that share the weights.

        Raises:
            ArgumentError: nothing of that name is attached.
        """
        pool = self._pool
        with pool.lock:
            self._check_is_attached(name)
            pool.attachments = {n: a for n, a in pool.attachments.items() if n != name}
            for view in pool.views():
                view._show_attached()

    def set_attachments(self, strengths: Mapping[str, float]) -> None:
        """Switch on the attachments named, with these strengths, and all others off.

        Other pipelines that share the weights have switches of their own.

        Raises:
            ArgumentError: nothing of such a name is attached, or a strength is not a number.
        """
        with self._pool.lock:
            self._strengths = self._checked(strengths, "set_attachments")
            self._show_attached()

    @property
    def attachments(self) -> Mapping[str, float]:
        """The attachments of these weights by name, with their strengths here; 0 is off."""
        return MappingProxyType({n: self._strengths.get(n, 0.0) for n in self._attached})

    @property
    def _attached(self) -> Mapping[str, Attachment]:
        """What is attached; of a run, what was when its call began."""
        found: Mapping[str, Attachment] = self.__dict__.get("_snapshot", self._pool.attachments)
        return found

    def _checked(self, strengths: object, what: str) -> dict[str, float]:
        """The strengths that a caller gives, of things that are attached."""
        if not isinstance(strengths, Mapping):
            raise ArgumentTypeError(
                f"{what} takes a dict from the names of attachments to their strengths, not a "
                f"{type(strengths).__name__}"
            )
        for name in strengths:
            self._check_is_attached(name)
        return {name: _strength(name, one) for name, one in strengths.items()}

    def _check_is_attached(self, name: object) -> None:
        attached = self._attached
        if not isinstance(name, str) or name not in attached:
            raise ArgumentError(
                f"there is no attachment {shown(name)}; attached is "
                f"{listed(attached) or 'nothing'}.{nearest(name, attached)}"
            )

    def _active(self) -> list[tuple[Attachment, float]]:
        """The attachments that act here, innermost first."""
        attached = self._attached.items()
        found = [(a, self._strengths[n]) for n, a in attached if self._strengths.get(n)]
        return sorted(found, key=lambda pair: pair[0].order)

    def _touching(self, method: str) -> Iterator[tuple[Attachment, float]]:
        for attachment, strength in self._active() if self._attached else ():
            if attachment.overrides(method):
                yield attachment, strength

    def _show_attached(self) -> None:
        """Make the attributes of components what the attachments make of them."""
        self._strengths = {n: s for n, s in self._strengths.items() if n in self._attached}
        for name, network in self.components.items():
            if not isinstance(network, nn.Module):
                continue
            found = [a.answers(name, network, s) for a, s in self._touching("answers")]
            shown = view_of(network, found) if any(found) else network
            if self.__dict__[name] is not shown:
                self.__dict__[name] = shown

    def encoder(self, component: str, encode: Encode) -> Encode:
        """`encode` of the text encoder `component`, with what attachments put around it.

        Families call their encoders through this.
        """
        for attachment, strength in self._touching("encode"):
            encode = attachment.encode(self, component, encode, strength)
        return encode

    def _predictor_of(self, tensors: Mapping[str, Any], predict: Predict) -> Predict:
        for attachment, strength in self._touching("predict"):
            predict = attachment.predict(self, tensors, predict, strength)
        return predict

    def _keeper_of(
        self, keep: Callable[[int, Tensor, Tensor], Tensor] | None
    ) -> Callable[[int, Tensor, Tensor], Tensor] | None:
        """`keep` of a task, followed by what attachments do after each step."""
        for attachment, strength in self._touching("after_step"):
            after = attachment.after_step(self, strength)
            if after is not None:
                keep = after if keep is None else _followed(keep, after)
        return keep

    # Engines

    def use_engine(
        self: _Self, engine: str | NetworkEngine | Mapping[str, Any] | None, **options: Any
    ) -> _Self:
        """Let an engine run networks in place of torch's eager mode; returns the pipeline itself.

        It holds for all pipelines that share the weights, and replaces what was chosen before.

        Args:
            engine: the name of an installed engine or a `NetworkEngine`, for every network; a
                mapping from component to one of these or None; None for none.
            **options: with a name, for its class.

        Raises:
            MissingPluginError: no installed plugin has an engine of that name.
            ArgumentError: there is no such network.
        """
        networks = self._networks()
        if not isinstance(engine, Mapping):
            engine = dict.fromkeys(networks, engine)
        for name in engine:
            if name not in networks:
                raise ArgumentError(
                    f"an engine is given for {shown(name)}, and the networks are "
                    f"{listed(networks)}.{nearest(name, networks)}"
                )
        made: dict[nn.Module, NetworkEngine] = {
            networks[name]: _made("engine", NetworkEngine, one, **options)
            for name, one in engine.items()
            if one is not None
        }
        self._pool.was_attached = True
        self._pool.set_engines(made)
        return self

    @property
    def engines(self) -> Mapping[str, str]:
        """The engines that are chosen, by the name of the component."""
        chosen = self._pool.engines
        networks = self._networks().items()
        return MappingProxyType({n: _name(chosen[one]) for n, one in networks if one in chosen})

    # A call

    @property
    def _execution_device(self) -> torch.device:
        """Where calls compute."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first network."""
        raise NotImplementedError

    def _take_attached(self, adapters: Mapping[str, float] | None) -> None:
        """Make this run's networks what the attachments and engines make of them."""
        if adapters is not None:
            self._strengths = self._checked(adapters, "adapters=")
        self._show_attached()
        device = self._execution_device
        for attachment, _ in self._active():
            if attachment.weights is not None:
                self._pool.bring(attachment.weights, device)
        self._pool.forget_gone()
        for name, origin in self._networks().items() if self._pool.engines else ():
            engine, network = self._pool.engines.get(origin), self.__dict__[name]
            if engine is None:
                continue
            why = self._refusal(name, network, engine)
            if why is None:
                self.__dict__[name] = EngineNetwork(network, self._pool.runner(network, engine))
            else:
                self._pool.say_once(f"{_name(engine)} doesn't run {name} now: {why}")

    def _inputs(self) -> list[str]:
        """The keywords that attachments add to calls."""
        return [one.name for a in self._attached.values() for one in a.inputs]

    def _refusal(self, name: str, network: nn.Module, engine: NetworkEngine) -> str | None:
        if network is not origin_of(network):
            return "attachments change it"
        if network.training:
            return "it is in training mode"
        if any(hasattr(module, "_hf_hook") for module in network.modules()):
            return "it is offloaded, or placed by a device map"
        with asking(engine):
            return engine.refuses(name, network)


def _made(kind: str, base: type, given: Any, *arguments: Any, **options: Any) -> Any:
    """The add-on or engine that is named, made with arguments for it alone, or the one given."""
    if isinstance(given, str):
        target = default_registry().entry(kind, given).target
        with guarded(lambda why: PluginError(f"the {kind} {shown(given)} can't be made ({why})")):
            given, arguments, options = load_target(target)(*arguments, **options), (), {}
    if not isinstance(given, base):
        raise ArgumentTypeError(
            f"an {kind} is the name of an installed one or a {base.__name__}, not a "
            f"{type(given).__name__}"
        )
    if arguments or options:
        raise ArgumentTypeError(
            f"{', '.join(options) or 'a source'} is for an {kind} that is named; give it to the "
            f"object itself"
        )
    return given


def _name(engine: NetworkEngine) -> str:
    return engine.name or type(engine).__name__


def _strength(name: str, strength: object) -> float:
    return number(f"the strength of {shown(name)}", strength)


def _followed(
    first: Callable[[int, Tensor, Tensor], Tensor], then: Callable[[int, Tensor, Tensor], Tensor]
) -> Callable[[int, Tensor, Tensor], Tensor]:
    return lambda step, timestep, latents: then(step, timestep, first(step, timestep, latents))
