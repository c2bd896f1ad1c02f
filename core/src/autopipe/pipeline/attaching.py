"""Add-ons and engines of a pipeline: attaching, switching, and what a call makes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..attaching.attachment import Attachment, Encode, Predict
from ..attaching.engine import EngineNetwork, NetworkEngine
from ..attaching.network_view import origin_of, view_of
from ..errors import ArgumentError, ArgumentTypeError, nearest
from ..registry import default_registry
from ..resolution.targets import load_target
from .components import ComponentsMixin

_log = logging.getLogger(__name__)

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
        if isinstance(addon, str):
            entry = default_registry().entry("addon", addon)
            given = () if source is None else (source,)
            made, name = load_target(entry.target)(*given, **options), name or addon
        else:
            made = addon
        if not isinstance(made, Attachment):
            raise ArgumentTypeError(
                f"attach takes the name of an add-on or an Attachment, not a {type(made).__name__}"
            )
        label = name or made.name or type(made).__name__.lower()
        if label in self._pool.attachments:
            raise ArgumentError(
                f"something called {label!r} is attached already; detach it, or give name="
            )
        _check_strength(label, strength)
        made.check(self)
        self._pool.attachments = {**self._pool.attachments, label: made}
        self.set_attachments({**self._strengths, label: strength})
        return made

    def detach(self, name: str) -> None:
        """Take an add-on away from all pipelines that share the weights.

        Raises:
            ArgumentError: nothing of that name is attached.
        """
        self._check_attached([name])
        self._pool.attachments = {n: a for n, a in self._pool.attachments.items() if n != name}
        for view in self._pool.views():
            view._show_attached()

    def set_attachments(self, strengths: Mapping[str, float]) -> None:
        """Switch on the attachments named, with these strengths, and all others off.

        Other pipelines that share the weights have switches of their own.

        Raises:
            ArgumentError: nothing of such a name is attached, or a strength is not a number.
        """
        self._check_attached(strengths)
        for name, strength in strengths.items():
            _check_strength(name, strength)
        self._strengths = dict(strengths)
        self._show_attached()

    @property
    def attachments(self) -> Mapping[str, float]:
        """The attachments of these weights by name, with their strengths here; 0 is off."""
        return MappingProxyType({n: self._strengths.get(n, 0.0) for n in self._pool.attachments})

    def _check_attached(self, names: Any) -> None:
        for name in names:
            if name not in self._pool.attachments:
                attached = ", ".join(self._pool.attachments) or "nothing"
                raise ArgumentError(
                    f"there is no attachment {name!r}; attached is {attached}."
                    + nearest(str(name), self._pool.attachments)
                )

    def _active(self) -> list[tuple[Attachment, float]]:
        """The attachments that act here, innermost first."""
        attached = self._pool.attachments.items()
        found = [(a, self._strengths[n]) for n, a in attached if self._strengths.get(n)]
        return sorted(found, key=lambda pair: pair[0].order)

    def _touching(self, method: str) -> Iterator[tuple[Attachment, float]]:
        for attachment, strength in self._active() if self._pool.attachments else ():
            if attachment.overrides(method):
                yield attachment, strength

    def _show_attached(self) -> None:
        """Make the attributes of components what the attachments make of them."""
        self._strengths = {n: s for n, s in self._strengths.items() if n in self._pool.attachments}
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
                    f"an engine is given for {name!r}, and the networks are {', '.join(networks)}."
                    + nearest(str(name), networks)
                )
        made = {name: _engine(one, options) for name, one in engine.items() if one is not None}
        self._pool.set_engines(made)
        return self

    @property
    def engines(self) -> Mapping[str, str]:
        """The engines that are chosen, by the name of the component."""
        return MappingProxyType({name: _name(one) for name, one in self._pool.engines.items()})

    # A call

    @property
    def _execution_device(self) -> torch.device:
        """Where calls compute."""
        raise NotImplementedError

    def _take_attached(self, adapters: Mapping[str, float] | None) -> None:
        """Make this run's networks what the attachments and engines make of them."""
        if adapters is not None:
            if not isinstance(adapters, Mapping):
                raise ArgumentTypeError(
                    f"adapters is a {type(adapters).__name__}; give a dict from the names of "
                    f"attachments to their strengths"
                )
            self._check_attached(adapters)
            for name, strength in adapters.items():
                _check_strength(name, strength)
            self._strengths = dict(adapters)
        self._show_attached()
        device = self._execution_device
        for attachment, _ in self._active():
            if attachment.weights is not None:
                self._pool.bring(attachment.weights, device)
        for name, engine in self._pool.engines.items():
            network = self.__dict__.get(name)
            if not isinstance(network, nn.Module):
                continue
            why = self._refusal(name, network, engine)
            if why is None:
                self.__dict__[name] = EngineNetwork(network, self._pool.runner(network, engine))
            else:
                self._pool.say_once(f"{_name(engine)} doesn't run {name} now: {why}")

    def _inputs(self) -> list[str]:
        """The keywords that attachments add to calls."""
        return [one.name for a in self._pool.attachments.values() for one in a.inputs]

    def _refusal(self, name: str, network: nn.Module, engine: NetworkEngine) -> str | None:
        if network is not origin_of(network):
            return "attachments change it"
        if network.training:
            return "it is in training mode"
        if any(hasattr(module, "_hf_hook") for module in network.modules()):
            return "it is offloaded, or placed by a device map"
        return engine.refuses(name, network)


def _engine(engine: Any, options: Mapping[str, Any]) -> NetworkEngine:
    if isinstance(engine, str):
        made = load_target(default_registry().entry("engine", engine).target)(**options)
    else:
        made = engine
    if not isinstance(made, NetworkEngine):
        raise ArgumentTypeError(
            f"an engine is the name of an installed one or a NetworkEngine, not a "
            f"{type(made).__name__}"
        )
    return made


def _name(engine: NetworkEngine) -> str:
    return engine.name or type(engine).__name__


def _check_strength(name: str, strength: object) -> None:
    if isinstance(strength, bool) or not isinstance(strength, (int, float)):
        raise ArgumentTypeError(
            f"the strength of {name!r} is a {type(strength).__name__}; give a number"
        )
    if strength != strength or strength in (float("inf"), float("-inf")):
        raise ArgumentError(f"the strength of {name!r} is {strength}; give a finite number")


def _followed(
    first: Callable[[int, Tensor, Tensor], Tensor], then: Callable[[int, Tensor, Tensor], Tensor]
) -> Callable[[int, Tensor, Tensor], Tensor]:
    return lambda step, timestep, latents: then(step, timestep, first(step, timestep, latents))
