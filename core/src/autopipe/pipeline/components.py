"""The components of a pipeline, and the index that names them.

A pipeline's constructor parameters are its component list: those without a default, and those
that the class lists in `_optional_components`, are *modules*; the others are *options*. A
component is an attribute, a subfolder of the checkpoint and a key of its `model_index.json`,
all of the same name.
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
    """What a pipeline class says of its components, and the components that one object holds."""

    config_name: ClassVar[str | None] = "model_index.json"
    _optional_components: ClassVar[tuple[str, ...]] = ()
    model_cpu_offload_seq: ClassVar[str | None] = None
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ()
    model_cpu_offload_extra: ClassVar[tuple[str, ...]] = ()
    """Networks that model offload moves in turn, besides those of `model_cpu_offload_seq`."""

    _module_names: ClassVar[tuple[str, ...]]
    _pool: Pool
    _origins: dict[str, str]

    # What the class declares

    @classmethod
    def module_names(cls) -> tuple[str, ...]:
        """The constructor parameters that are components, in their order.

        What is a component of a base class stays one, also where the constructor has a default.
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
        """The components that may be None."""
        return tuple(name for name in cls.module_names() if name in cls._optional_components)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """The constructor parameters that are plain values."""
        modules = cls.module_names()
        return tuple(name for name in cls.init_parameters() if name not in modules)

    def register_modules(self, **modules: Any) -> None:
        """Take the components; called by constructors.

        Raises:
            ArgumentTypeError: no constructor has such a parameter, so it would be neither moved
                nor saved; or it is of another kind than the constructor takes there.
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
            f"{type(self).__name__} can't register a component that its constructor has no "
            f"parameter for; add one, or set a plain attribute. There is none for",
        )
        for name, module in modules.items():
            setattr(self, name, module)
        self._pool.join(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in type(self).module_names():
            check_given(type(self), {name: value})
        super().__setattr__(name, value)

    # What the object holds

    @property
    def components(self) -> dict[str, Any]:
        """The components by name, absent ones as None; networks as they are without attachments."""
        self._pool.check_open(self)
        return {name: origin_of(self.__dict__.get(name)) for name in self.module_names()}

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
        """Where the components were loaded from: folders, and repositories with their commit.

        The key is empty for the checkpoint itself; of a further one, it is the stage that it is
        (`"prior"`, for example).
        """
        return MappingProxyType(self._origins)

    @property
    def name_or_path(self) -> str | None:
        """The folder or repository it was loaded from; None where it was put together."""
        return _COMMIT.sub("", self._origins[""]) if "" in self._origins else None

    @property
    def config(self) -> FrozenConfig:
        """The entries of the index: a pair (library, class) for each component, and the options."""
        pairs = {name: self._pair(name) for name in self.components}
        return FrozenConfig({**self._entries(), **pairs, "_name_or_path": self.name_or_path})

    def index(self) -> dict[str, Any]:
        """The content of this pipeline's `model_index.json`; without functions, with a warning.

        Raises:
            ArgumentError: a component is of a class that no installed family declares.
        """
        for name, component in self.components.items():
            component = unwrapped(component)
            if is_function(component) and name in self.optional_components():
                _log.warning(
                    "%s is a function, which can't be saved, so the checkpoint has none", name
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
        """Library and class of a component; by its module where no family declares it."""
        component = unwrapped(self.components[name])
        if component is None or is_function(component):
            return None, None
        cls = type(component)
        library, class_name = default_registry().identity(cls) or (cls.__module__, cls.__name__)
        from ..checkpoint.foreign.models import LIBRARY, saved_name

        return library, saved_name(class_name) if library == LIBRARY else class_name

    def to_json_string(self) -> str:
        """The index as JSON."""
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
