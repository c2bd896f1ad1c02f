"""Add-ons of a pipeline: attaching them, switching them, and using them in calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ..attaching.attachment import Attachment, Encode, Predict
from ..attaching.network_view import view_of
from ..errors import ArgumentError, ArgumentTypeError, PluginError, nearest
from ..kinds import BaseScheduler
from ..registry import default_registry
from ..resolution.guard import guarded
from ..resolution.targets import load_target
from ..wording import listed, logger, shown
from .components import ComponentsMixin
from .values import number

_log = logger(__name__)

_Self = TypeVar("_Self", bound="AttachingMixin")
_Kind = TypeVar("_Kind", bound=Attachment)


class AttachingMixin(ComponentsMixin):
    """The methods of a pipeline for add-ons."""

    own_attachments: ClassVar[Mapping[str, Callable[[Any], Attachment]]] = MappingProxyType({})
    """Functions of a pipeline that make the add-ons of its class, by name. They are attached to
    every pipeline of the class, active, and can't be detached."""
    _strengths: dict[str, Any]
    """The strengths of the active attachments, by name; in a run, those of its call."""
    _snapshot: Mapping[str, Attachment]
    """In a run: the attachments at the start of its call, as they serve it."""

    # Add-ons

    def attach(
        self,
        addon: str | Attachment,
        source: str | Path | None = None,
        *,
        name: str | None = None,
        strength: Any = 1.0,
        **options: Any,
    ) -> Attachment:
        """Attach an add-on and activate it in this pipeline.

        Pipelines that share the weights can activate it with `set_attachments`. While it changes a
        network, the attribute of that component is a view of the network with the changes; saving
        and `from_pipe` use the network itself.

        Args:
            addon: the name of an installed add-on, or an `Attachment`.
            source: for a named add-on, what to load: a file, a folder or a repository.
            name: the name of the attachment; by default the add-on's own.
            strength: the strength of its effect: a number, or what the add-on takes instead.
            **options: for a named add-on, the arguments of its class.

        Raises:
            MissingPluginError: if no installed plugin has an add-on of that name.
            ArgumentError: if the name is already in use, or the add-on doesn't fit the pipeline.
        """
        self._pool.check_open(self)
        given = () if source is None else (source,)
        made: Attachment = made_of("addon", Attachment, addon, *given, **options)
        own = addon if isinstance(addon, str) else made.name or type(made).__name__.lower()
        if name is not None and not isinstance(name, str):
            raise ArgumentTypeError(f"name={shown(name)} is not a string")
        label = name or own
        _strength(label, made, strength)
        made.check(self)
        self._check_is_new(label)
        brought = self._lacking(made)
        if brought:
            self.register_modules(**brought)
        try:
            self._attach(label, made, strength, brought)
        except BaseException:
            self._give_back(brought)
            raise
        return made

    def _attach(
        self, label: str, made: Attachment, strength: Any, brought: Mapping[str, Any]
    ) -> None:
        pool = self._pool
        with pool.lock:
            self._check_is_new(label)
            before, strengths = pool.attachments, self._strengths
            if made.weights is not None:
                made.weights.to(dtype=self.dtype)
                if not pool.placement.moves:
                    pool.bring(made.weights, self._execution_device)
            pool.was_attached = True
            pool.attachments = {**before, label: made}
            try:
                self.set_attachments({**strengths, label: strength})
            except BaseException:
                pool.attachments, self._strengths = before, strengths
                self._show_attached()
                raise
            pool.brought[label] = brought

    def _lacking(self, attachment: Attachment) -> dict[str, Any]:
        """Return the components that this pipeline can have, lacks, and gets by an attachment."""
        lacking = [name for name, one in self.components.items() if one is None]
        return attachment.brings(self, lacking) if lacking else {}

    def detach(self, name: str, everywhere: bool = True) -> None:
        """Remove an attachment from all pipelines that share the weights.

        Args:
            name: the name of the attachment.
            everywhere: False only deactivates it in this pipeline, unless no other one uses it.

        Raises:
            ArgumentError: if there is no attachment of that name.
        """
        pool = self._pool
        with pool.lock:
            self._check_is_attached(name)
            if name not in pool.attachments:
                raise ArgumentError(
                    f"{shown(name)} belongs to {type(self).__name__}, so it can't be detached; "
                    f"set_attachments() switches it off"
                )
            if not everywhere:
                self.set_attachments({n: s for n, s in self._strengths.items() if n != name})
                if any(view._strengths.get(name) for view in pool.views()):
                    return
            pool.attachments = {n: a for n, a in pool.attachments.items() if n != name}
            brought = pool.brought.pop(name, {})
            for view in pool.views():
                view._give_back(brought)
                view._show_attached()

    def _give_back(self, brought: Mapping[str, Any]) -> None:
        """Remove those of the components that this pipeline has from an attachment."""
        for name, component in self.components.items():
            if component is not None and brought.get(name) is component:
                setattr(self, name, None)

    def set_attachments(self, strengths: Mapping[str, Any]) -> None:
        """Activate these attachments with these strengths, and deactivate all others.

        Other pipelines that share the weights are not affected.

        Raises:
            ArgumentError: if there is no attachment of a name, or it can't have a strength.
        """
        with self._pool.lock:
            before, self._strengths = self._strengths, self._checked(strengths, "set_attachments")
            try:
                self._show_attached()
            except BaseException:
                self._strengths = before
                self._show_attached()
                raise

    @property
    def attachments(self) -> Mapping[str, Any]:
        """The strength in this pipeline of each attachment, by name; 0 is inactive."""
        return MappingProxyType({n: self._strengths.get(n, 0.0) for n in self._attached})

    def attached(self, kind: type[_Kind]) -> dict[str, _Kind]:
        """Return the attachments of a class by name, active or not, in the order of attaching."""
        return {name: one for name, one in self._attached.items() if isinstance(one, kind)}

    @property
    def _attached(self) -> Mapping[str, Attachment]:
        """The attachments; in a run, those that serve its call."""
        found: Mapping[str, Attachment] = self.__dict__.get("_snapshot", self._pool.attachments)
        if "_snapshot" in self.__dict__ or not self.own_attachments:
            return found
        return {**found, **{name: made(self) for name, made in self.own_attachments.items()}}

    def _checked(self, strengths: object, what: str) -> dict[str, Any]:
        """Check the strengths that a caller gives."""
        if not isinstance(strengths, Mapping):
            raise ArgumentTypeError(
                f"{what} takes a dict from the names of attachments to their strengths, not "
                f"{type(strengths).__name__}"
            )
        for name in strengths:
            self._check_is_attached(name)
        attached = self._attached
        return {name: _strength(name, attached[name], one) for name, one in strengths.items()}

    def _check_is_new(self, label: str) -> None:
        if label in self._pool.attachments:
            raise ArgumentError(
                f"an attachment {shown(label)} already exists; detach it, or give name="
            )

    def _check_is_attached(self, name: object) -> None:
        attached = self._attached
        if not isinstance(name, str) or name not in attached:
            raise ArgumentError(
                f"there is no attachment {shown(name)}; attached: "
                f"{listed(attached) or 'none'}.{nearest(name, attached)}"
            )

    def _active(self) -> list[tuple[Attachment, Any]]:
        """The active attachments with their strengths, innermost first."""
        attached = self._attached.items()
        found = [(a, self._strengths[n]) for n, a in attached if self._strengths.get(n)]
        return sorted(found, key=lambda pair: pair[0].order)

    def _touching(self, method: str) -> Iterator[tuple[Attachment, Any]]:
        for attachment, strength in self._active() if self._attached else ():
            if attachment.overrides(method):
                yield attachment, strength

    def _show_attached(self) -> None:
        """Set the attributes of components to what the attachments show in their place.

        Networks are replaced by views, and other components by what the attachments return.
        """
        self._strengths = {n: s for n, s in self._strengths.items() if n in self._attached}
        originals = self.components
        replaced: dict[str, Any] = {}
        for name, component in originals.items():
            shown = component
            if isinstance(component, nn.Module):
                found = [a.answers(name, component, s) for a, s in self._touching("answers")]
                shown = view_of(component, found) if any(found) else component
            elif component is not None and not isinstance(component, BaseScheduler):
                for attachment, strength in self._touching("replaces"):
                    shown = attachment.replaces(name, shown, strength)
                if shown is not component:
                    replaced[name] = component
            if self.__dict__.get(name) is not shown:
                self.__dict__[name] = shown
        self._replaced = replaced

    def encoder(self, component: str, encode: Encode) -> Encode:
        """Return `encode` of the text encoder `component`, wrapped by the attachments.

        Families call their text encoders through this.
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
        """Return the `keep` function of a task, followed by `after_step` of the attachments."""
        for attachment, strength in self._touching("after_step"):
            after = attachment.after_step(self, strength)
            if after is not None:
                keep = after if keep is None else _followed(keep, after)
        return keep

    # A call

    @property
    def _execution_device(self) -> torch.device:
        """The device on which calls compute."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first network."""
        raise NotImplementedError

    def _take_attached(self, adapters: Mapping[str, Any] | None) -> None:
        """Apply the attachments to the networks of this run."""
        if adapters is not None:
            self._strengths = self._checked(adapters, "adapters=")
        self._snapshot = {
            name: one.of_call(self) if self._strengths.get(name) else one
            for name, one in self._attached.items()
        }
        self._show_attached()
        device = self._execution_device
        for attachment, _ in self._active():
            if attachment.weights is not None:
                self._pool.bring(attachment.weights, device)

    def _inputs(self) -> list[str]:
        """The keywords that attachments add to calls."""
        return [one.name for a in self._attached.values() for one in a.inputs]


def made_of(kind: str, base: type, given: Any, *arguments: Any, **options: Any) -> Any:
    """Create the named add-on or engine with its arguments, or check the given object."""
    if isinstance(given, str):
        target = default_registry().entry(kind, given).target
        with guarded(
            lambda why: PluginError(f"the {kind} {shown(given)} can't be created ({why})")
        ):
            given, arguments, options = load_target(target)(*arguments, **options), (), {}
    if not isinstance(given, base):
        raise ArgumentTypeError(
            f"an {kind} must be the name of an installed one or a {base.__name__}, not "
            f"{type(given).__name__}"
        )
    if arguments or options:
        raise ArgumentTypeError(
            f"{', '.join(options) or 'a source'} is only for a named {kind}; pass it to the "
            f"constructor of the object"
        )
    return given


def _strength(name: str, attachment: Attachment, strength: object) -> Any:
    if attachment.overrides("check_strength"):
        return attachment.check_strength(strength)
    return number(f"the strength of {shown(name)}", strength)


def _followed(
    first: Callable[[int, Tensor, Tensor], Tensor], then: Callable[[int, Tensor, Tensor], Tensor]
) -> Callable[[int, Tensor, Tensor], Tensor]:
    return lambda step, timestep, latents: then(step, timestep, first(step, timestep, latents))
