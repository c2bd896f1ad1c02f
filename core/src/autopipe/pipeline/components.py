"""The components of a pipeline, and the index that names them.

The constructor parameters of a pipeline define its components: parameters without a default, and
those in `_optional_components`, are *modules*; the others are *options*. A component is an
attribute, a subfolder of the checkpoint and a key of its `model_index.json`, all of the same name.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from torch import nn

from ..attaching.network_view import origin_of
from ..attaching.wrappers import unwrapped
from ..config import FORMAT_VERSION, ConfigMixin, FrozenConfig, value_in_config
from ..errors import ArgumentError, check_names
from ..kinds import check_given, is_function
from ..placement.base import Role, networks_of
from ..registry import default_registry
from ..wording import logger
from .pool import Pool

_COMMIT = re.compile("@[0-9a-f]{40}$")

_log = logger(__name__)


class ComponentsMixin(ConfigMixin):
    """The component declarations of a pipeline class, and the components of an object."""

    config_name: ClassVar[str | None] = "model_index.json"
    _optional_components: ClassVar[tuple[str, ...]] = ()
    model_cpu_offload_seq: ClassVar[str | None] = None
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ()
    model_cpu_offload_extra: ClassVar[tuple[str, ...]] = ()
    """Networks that model offload moves in addition to those of `model_cpu_offload_seq`."""

    _module_names: ClassVar[tuple[str, ...]]
    _pool: Pool
    _replaced: Mapping[str, Any] = MappingProxyType({})
    """The components in whose place attachments show others, by name."""
    _origins: dict[str, str]

    # The class

    @classmethod
    def module_names(cls) -> tuple[str, ...]:
        """Return the constructor parameters that are components, in their order.

        A component of a base class stays one, even if the constructor gives it a default.
        """
        if "_module_names" not in cls.__dict__:
            bases = [base for base in cls.__bases__ if issubclass(base, ComponentsMixin)]
            known = {*cls._optional_components, *(n for b in bases for n in b.module_names())}
            cls._module_names = tuple(
                name
                for name, parameter in cls.init_parameters().items()
                if parameter.default is inspect.Parameter.empty or name in known
            )
        return cls._module_names

    @classmethod
    def optional_components(cls) -> tuple[str, ...]:
        """Return the components that may be None."""
        return tuple(name for name in cls.module_names() if name in cls._optional_components)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Return the constructor parameters that are plain values."""
        modules = cls.module_names()
        return tuple(name for name in cls.init_parameters() if name not in modules)

    def register_modules(self, **modules: Any) -> None:
        """Set the components; called by constructors.

        Raises:
            ArgumentTypeError: if no constructor has such a parameter, so that the component would
                be neither moved nor saved; or if a component has the wrong type.
        """
        known = [
            n
            for cls in type(self).__mro__
            if issubclass(cls, ComponentsMixin)
            for n in cls.module_names()
        ]
        check_names(
            modules,
            dict.fromkeys(known),
            f"{type(self).__name__} can register a component only if its constructor has the "
            f"parameter; add it, or set a plain attribute. There is no parameter",
        )
        for name, module in modules.items():
            setattr(self, name, module)
        self._pool.join(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in type(self).module_names():
            check_given(type(self), {name: value})
        if name in self._replaced:
            self._replaced = {n: one for n, one in self._replaced.items() if n != name}
        super().__setattr__(name, value)

    # The object

    @property
    def components(self) -> dict[str, Any]:
        """The components by name, as they are without attachments; None if absent."""
        self._pool.check_open(self)
        replaced = self._replaced
        return {
            name: replaced[name] if name in replaced else origin_of(self.__dict__.get(name))
            for name in self.module_names()
        }

    def _networks(self) -> dict[str, nn.Module]:
        return networks_of(self.components)

    def _roles(self) -> dict[nn.Module, Role]:
        order = (*(self.model_cpu_offload_seq or "").split("->"), *self.model_cpu_offload_extra)
        return {
            network: Role(name, name in order, name in self._exclude_from_cpu_offload)
            for name, network in self._networks().items()
        }

    @property
    def options(self) -> Mapping[str, Any]:
        """The options by name."""
        return MappingProxyType({name: self._config.get(name) for name in self.option_names()})

    @property
    def origins(self) -> Mapping[str, str]:
        """The folders, or repositories with their commit, from which components were loaded.

        The key is empty for the checkpoint itself; for the checkpoint of another stage, it is the
        keyword of that stage (such as `"prior"`).
        """
        return MappingProxyType(self._origins)

    @property
    def name_or_path(self) -> str | None:
        """The folder or repository it was loaded from; None if it was constructed."""
        return _COMMIT.sub("", self._origins[""]) if "" in self._origins else None

    @property
    def config(self) -> FrozenConfig:
        """The entries of the index: (library, class) of each component, and the options."""
        pairs = {name: self._pair(name) for name in self.components}
        return FrozenConfig({**self._entries(), **pairs, "_name_or_path": self.name_or_path})

    def index(self) -> dict[str, Any]:
        """Return the content of this pipeline's `model_index.json`.

        Components that are functions are left out with a warning.

        Raises:
            ArgumentError: if no installed family declares the class of a component.
        """
        for name, component in self.components.items():
            component = unwrapped(component)
            if is_function(component) and name in self.optional_components():
                _log.warning(
                    "%s is a function, which can't be saved, and is left out of the checkpoint",
                    name,
                )
            elif component is not None and default_registry().identity(type(component)) is None:
                raise ArgumentError(
                    f"the component {name!r} is a {type(component).__name__}, which no installed "
                    f"family declares, so an index can't name it"
                )
        return self._entries()

    def _entries(self) -> dict[str, Any]:
        pipeline = default_registry().pipeline_of(type(self))
        options = {name: value for name, value in self.options.items() if value is not None}
        entries = {**{name: list(self._pair(name)) for name in self.components}, **options}
        return {
            "_class_name": pipeline.name if pipeline else type(self).__name__,
            "_diffusers_version": FORMAT_VERSION,
            **dict(sorted(entries.items())),
        }

    def _pair(self, name: str) -> tuple[str | None, str | None]:
        """The library and class of a component; its module and class if no family declares it."""
        component = unwrapped(self.components[name])
        if component is None or is_function(component):
            return None, None
        cls = type(component)
        library, class_name = default_registry().identity(cls) or (cls.__module__, cls.__name__)
        from ..checkpoint.foreign.models import LIBRARY, saved_name

        return library, saved_name(class_name) if library == LIBRARY else class_name

    def to_json_string(self) -> str:
        """Return the index as JSON."""
        return json.dumps(self._entries(), indent=2) + "\n"

    def __repr__(self) -> str:
        if self._pool.closed:
            return f"{type(self).__name__} (closed)"
        return f"{type(self).__name__} {self.to_json_string()}"

    def __getattr__(self, name: str) -> Any:
        if name in type(self).module_names():
            self._pool.check_open(self)
        return value_in_config(self, name)

    def _drop_components(self) -> None:
        for name in self.module_names():
            self.__dict__.pop(name, None)
