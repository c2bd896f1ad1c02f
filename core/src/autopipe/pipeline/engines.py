"""Engines of a pipeline: choosing them, using them in calls, and telling why one isn't used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from torch import nn

from ..attaching.engine import NetworkEngine, asking, name_of
from ..attaching.network_view import origin_of
from ..errors import ArgumentError, ArgumentTypeError, nearest
from ..manifest import EAGER
from ..wording import listed, shown
from .attaching import AttachingMixin, made_of
from .portable import is_hook_of_transformers

_Self = TypeVar("_Self", bound="EnginesMixin")


class EnginesMixin(AttachingMixin):
    """The methods of a pipeline for engines."""

    def use_engine(
        self: _Self, engine: str | NetworkEngine | Mapping[str, Any] | None, **options: Any
    ) -> _Self:
        """Run networks with an engine in place of torch's eager mode; return the pipeline itself.

        This affects all pipelines that share the weights, and replaces the previous choice.

        Args:
            engine: the name of an installed engine or a `NetworkEngine`, for all networks; None or
                `"eager"` for no engine; or a mapping from component names to these.
            **options: for a named engine, the arguments of its class.

        Raises:
            MissingPluginError: if no installed plugin has an engine of that name.
            ArgumentError: if there is no such network.
        """
        networks = self._networks()
        if not isinstance(engine, Mapping):
            engine = dict.fromkeys(networks, engine)
        for name in engine:
            if name not in networks:
                raise ArgumentError(
                    f"there is no network {shown(name)} for an engine; the networks are "
                    f"{listed(networks)}.{nearest(name, networks)}"
                )
        if options and not any(_is_engine(one) for one in engine.values()):
            raise ArgumentTypeError(f"{', '.join(options)} is only for a named engine")
        named: dict[str, NetworkEngine] = {}
        made: dict[nn.Module, NetworkEngine | None] = dict.fromkeys(networks.values())
        for name, one in engine.items():
            if not _is_engine(one):
                continue
            # Networks with an engine of the same name share its object.
            found = named.get(one) if isinstance(one, str) else None
            found = found or made_of("engine", NetworkEngine, one, **options)
            if isinstance(one, str):
                named[one] = found
            made[networks[name]] = found
        self._pool.was_attached = True
        self._pool.set_engines(made)
        return self

    @property
    def engines(self) -> Mapping[str, str]:
        """The name of the engine of each component that has one."""
        chosen = self._pool.engines
        found = {name: chosen.get(one) for name, one in self._networks().items()}
        return MappingProxyType({n: name_of(one) for n, one in found.items() if one is not None})

    def _take_attached(self, adapters: Mapping[str, Any] | None) -> None:
        """Apply the attachments and engines to the networks of this run."""
        super()._take_attached(adapters)
        pool = self._pool
        pool.forget_gone()
        for name, origin in self._networks().items() if pool.engines else ():
            engine, network = pool.engines.get(origin), self.__dict__[name]
            if engine is None:
                if origin not in pool.engines:
                    pool.warn_once(f"no engine runs {name}: {_ADDED}")
                continue
            why = self._refusal(name, network, engine)
            if why is None:
                self.__dict__[name] = pool.stand_in(name, network, engine)
            else:
                pool.warn_not_run(name, engine, why)

    def _explained(self) -> list[str]:
        """Return a line for each network that says what runs it, if any has an engine."""
        chosen, lines = self._pool.engines, []
        for name, origin in self._networks().items() if chosen else ():
            engine = chosen.get(origin)
            if engine is None:
                known = origin in chosen
                lines.append(f"{name}: eager mode, since {_NOT_CHOSEN if known else _ADDED}")
                continue
            why = self._refusal(name, self.__dict__[name], engine)
            if why is not None:
                lines.append(f"{name}: eager mode, since {name_of(engine)} doesn't run it: {why}")
                continue
            form = self._pool.prepared.form(origin)
            state = "prepared" if form and form.methods else "prepared in the next call"
            with asking(engine):
                told = (f"{name}: {name_of(engine)}", state, engine.explain(origin))
            lines.append(", ".join(filter(None, told)))
            for method, reason in form.refused.items() if form else ():
                lines.append(f"{name}.{method}: eager mode, since {reason}")
        return lines

    def _refusal(self, name: str, network: nn.Module, engine: NetworkEngine) -> str | None:
        """Return why `engine` can't run `network` now, or None."""
        if network is not origin_of(network) and not engine.runs_views:
            return "attachments change it"
        for module in network.modules():
            if module.training:
                return "it is in training mode"
            if hasattr(module, "_hf_hook"):
                return "it is offloaded, or placed by a device map"
            if not engine.runs_views and getattr(module, "runs_user_code", False):
                return "it runs code of yours, such as an attention processor"
            hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
            if not all(map(is_hook_of_transformers, hooks)):
                return "it has hooks"
        with asking(engine):
            return engine.refuses(name, network)


_NOT_CHOSEN = "no engine was chosen for it"
_ADDED = "it was added after use_engine(); call that again"


def _is_engine(one: object) -> bool:
    return one is not None and not (isinstance(one, str) and one == EAGER)
