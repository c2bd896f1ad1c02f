"""The config of networks, schedulers and pipelines, as saved in a `config.json`.

A class declares its config as the parameters of its constructor. `register_to_config` checks and
records the arguments of a construction, and `from_config` constructs from recorded ones.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, overload

from .constructors import construct, constructors
from .errors import ArgumentTypeError, AutopipeError, ConfigError
from .frozen_config import FrozenConfig as FrozenConfig
from .json_files import read_json_object
from .regular import replaced
from .resolution.methods import missing_method
from .values import ANY_NUMBER, Range, Unfit, fitted, hints_of
from .wording import shown

FORMAT_VERSION = "0.42.1"
"""The `_diffusers_version` whose checkpoint format this library reads and writes."""

_Self = TypeVar("_Self", bound="ConfigMixin")
_Init = TypeVar("_Init", bound=Callable[..., None])

_GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
"""Kinds of parameters that can't be passed by their own name."""

_USED_DEFAULTS = "_use_default_values"
_BOOKKEEPING = frozenset({"_class_name", "_diffusers_version", _USED_DEFAULTS})


class ConfigMixin:
    """Gives a class `config`, `from_config`, `load_config` and `save_config`.

    Attributes:
        config_name: the file name of the saved config.
        ignore_for_config: constructor parameters that are not config entries.
        config_limits: the valid ranges of numeric entries, by name.
        config_error: the error raised for an invalid value of an entry.
    """

    config_name: ClassVar[str | None] = None
    ignore_for_config: ClassVar[tuple[str, ...]] = ()
    has_compatibles: ClassVar[bool] = False
    config_limits: ClassVar[Mapping[str, Range]] = MappingProxyType({})
    config_error: ClassVar[type[AutopipeError]] = ConfigError

    config_type: ClassVar[type[FrozenConfig]] = FrozenConfig
    _config: FrozenConfig = FrozenConfig()
    _is_made: bool = False
    """Whether a constructor that records its arguments has finished."""
    _init_parameters: ClassVar[Mapping[str, inspect.Parameter]]

    @property
    def config(self) -> FrozenConfig:
        """The arguments of the constructor, updated by later changes."""
        return self._config

    def register_to_config(self, **values: Any) -> None:
        """Add `values` to the config of this object, replacing existing entries.

        Raises:
            ConfigError: if a value is not valid for a parameter of the constructor
                (`SchedulerError` for schedulers).
        """
        changed = {**self._config, **self.changed_config(self._config, values)}
        if self._is_made and values.keys() & self.init_parameters().keys():
            self.check_config(changed)
        object.__setattr__(self, "_config", self.config_type.of(type(self), changed))

    @classmethod
    def changed_config(cls, config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries of `config` to change when `values`, which are checked, are set."""
        values = checked(cls, cls.__init__, values)
        kept = [name for name in config.get(_USED_DEFAULTS, ()) if name not in values]
        return {_USED_DEFAULTS: tuple(kept), **values} if _USED_DEFAULTS in config else values

    def __getattr__(self, name: str) -> Any:
        return value_in_config(self, name)

    @classmethod
    def check_config(cls, config: Mapping[str, Any]) -> None:
        """Check that the entries of a config fit together; called when an entry is set.

        Raises:
            ConfigError: if they don't (`SchedulerError` for schedulers).
        """

    @classmethod
    def init_parameters(cls) -> Mapping[str, inspect.Parameter]:
        """Return the constructor's parameters that a config may set, by name.

        They include those of base classes to which the constructor passes its `**kwargs`.
        """
        if "_init_parameters" not in cls.__dict__:
            found: dict[str, inspect.Parameter] = {}
            for init in constructors(cls):
                for name, parameter in inspect.signature(init).parameters.items():
                    if name != "self" and parameter.kind not in _GATHERING:
                        found.setdefault(name, parameter)
            cls._init_parameters = MappingProxyType(
                {n: one for n, one in found.items() if n not in cls.ignore_for_config}
            )
        return cls._init_parameters

    @overload
    @classmethod
    def from_config(
        cls: type[_Self],
        config: Mapping[str, Any] | str | Path,
        return_unused_kwargs: Literal[False] = False,
        **overrides: Any,
    ) -> _Self: ...
    @overload
    @classmethod
    def from_config(
        cls: type[_Self],
        config: Mapping[str, Any] | str | Path,
        return_unused_kwargs: Literal[True],
        **overrides: Any,
    ) -> tuple[_Self, dict[str, Any]]: ...
    @classmethod
    def from_config(
        cls: type[_Self],
        config: Mapping[str, Any] | str | Path,
        return_unused_kwargs: bool = False,
        **overrides: Any,
    ) -> Any:
        """Construct an object from `config`; `overrides` take precedence.

        Keys that this class doesn't know stay in the new object's config, so that a later
        `from_config` of another class finds them. Overrides that begin with an underscore are
        ignored, so that `**other.config` can be passed.

        Args:
            config: a config. A path and the keywords of `load_config` also work, with a warning.
            return_unused_kwargs: return `(object, unused)`, where `unused` holds the entries and
                overrides that are not parameters.

        Raises:
            ConfigError: if `config` is not a mapping, can't be read, or has invalid values
                (`SchedulerError` for values of schedulers).
        """
        if isinstance(config, (str, Path)):
            warnings.warn(
                f"passing a path to {cls.__name__}.from_config is deprecated; pass it to "
                f"from_pretrained or load_config, with the same keywords",
                FutureWarning,
                stacklevel=2,
            )
            config, overrides = cls.load_config(config, return_unused_kwargs=True, **overrides)
        if not isinstance(config, Mapping):
            raise ConfigError(
                f"{cls.__name__}.from_config takes a mapping, not {shown(config)}; to load from a "
                f"folder, call {cls.__name__}.from_pretrained"
            )
        defaulted = {_USED_DEFAULTS, *config.get(_USED_DEFAULTS, ())}
        known = cls.init_parameters()
        stored = {name: value for name, value in config.items() if name not in defaulted}
        overrides = {n: v for n, v in overrides.items() if n in known or not n.startswith("_")}
        values = {name: value for name, value in {**stored, **overrides}.items() if name in known}
        unused = {name: value for name, value in overrides.items() if name not in known}
        made = construct(cls, values)
        hidden = {name: value for name, value in stored.items() if name not in known}
        if "_class_name" in hidden:
            hidden["_class_name"] = cls.__name__
        made.register_to_config(**hidden)
        return (made, {**hidden, **unused}) if return_unused_kwargs else made

    @classmethod
    def load_config(
        cls,
        pretrained_model_name_or_path: str | Path,
        return_unused_kwargs: bool = False,
        *,
        subfolder: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Read the config of this class from a local folder or file.

        With `return_unused_kwargs` the result is `(config, kwargs)`.

        Raises:
            ConfigError: if the file is absent or not a valid config.
        """
        assert cls.config_name is not None, f"{cls.__name__} names no config file"
        file = Path(pretrained_model_name_or_path)
        if not file.is_file():
            file = file / (subfolder or "") / cls.config_name
        found = read_json_object(file)
        return (found, kwargs) if return_unused_kwargs else found

    def to_json_string(self) -> str:
        """Return the config as saved: sorted JSON with `_class_name` first."""
        entries = {
            "_class_name": type(self).__name__,
            "_diffusers_version": FORMAT_VERSION,
            **{k: _plain(v) for k, v in sorted(self.config.items()) if k not in _BOOKKEEPING},
        }
        return json.dumps(entries, indent=2) + "\n"

    def to_json_file(self, json_file_path: str | Path) -> None:
        """Write the config to a file atomically."""
        text = self.to_json_string()
        with replaced(json_file_path) as file:
            file.write_text(text, encoding="utf-8")

    def save_config(self, save_directory: str | Path) -> None:
        """Write the config into the folder `save_directory`, creating it if necessary.

        Raises:
            ArgumentTypeError: if `save_directory` is not a path.
            OSError: if the folder can't be created or written to.
        """
        assert self.config_name is not None, f"{type(self).__name__} names no config file"
        if not isinstance(save_directory, (str, os.PathLike)):
            raise ArgumentTypeError(
                f"save_directory={shown(save_directory)} is not a path; give a folder"
            )
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.to_json_file(folder / self.config_name)


def register_to_config(init: _Init) -> _Init:
    """Decorate `__init__` so that its arguments, including defaults, become the config.

    Values are checked against the annotations and `config_limits`. Equal numbers of another type
    are converted. Keywords that begin with an underscore and are not parameters are ignored, so
    that a whole config can be passed.
    """
    signature = inspect.signature(init)
    names = {
        name
        for name, parameter in signature.parameters.items()
        if name != "self" and not name.startswith("_") and parameter.kind not in _GATHERING
    }

    @functools.wraps(init)
    def recorded(self: ConfigMixin, *args: Any, **kwargs: Any) -> None:
        known = {
            name: value
            for name, value in kwargs.items()
            if name in signature.parameters or not name.startswith("_")
        }
        try:
            bound = signature.bind(self, *args, **known)
        except TypeError as error:
            raise ArgumentTypeError(f"{type(self).__name__} {error}") from None
        given = {name: value for name, value in bound.arguments.items() if name in names}
        bound.arguments.update(checked(type(self), init, given))
        final = bound.args, bound.kwargs
        bound.apply_defaults()
        kept = names.difference(self.ignore_for_config)
        values = {name: value for name, value in bound.arguments.items() if name in kept}
        # Keep what a subclass recorded before, except for arguments that it passed on to here.
        before = self._config.get(_USED_DEFAULTS, ())
        defaulted = tuple(
            [name for name in before if name not in values]
            + [name for name in values if name not in given]
        )
        object.__setattr__(
            self,
            "_config",
            self.config_type.of(type(self), {**self._config, **values, _USED_DEFAULTS: defaulted}),
        )
        try:
            init(*final[0], **final[1])
        except ConfigError as error:
            kind = type(self).__name__
            if kind in str(error):
                raise
            raise ConfigError(f"{kind}: {error}") from error
        object.__setattr__(self, "_is_made", True)

    return recorded  # type: ignore[return-value]


def checked(
    cls: type[ConfigMixin], init: Callable[..., None], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `values`, converted as the parameters of `init` declare them.

    Values that are not parameters stay unchanged.

    Raises:
        ConfigError: if a value is not valid (or another error: see `config_error` of `cls`).
    """
    hints, found = hints_of(init), dict(values)
    for name in hints.keys() & values.keys():
        try:
            found[name] = fitted(values[name], hints[name], cls.config_limits.get(name, ANY_NUMBER))
        except Unfit as error:
            raise cls.config_error(
                f"{cls.__name__} can't have {name} = {shown(values[name])}; it must be {error}"
            ) from None
    return found


def value_in_config(owner: ConfigMixin, name: str) -> Any:
    """Return the config entry `name` for `owner.name`, when there is no such attribute.

    For a `__getattr__`. The code that reads the attribute is warned.

    Raises:
        AttributeError: if the config has no such entry.
    """
    kind = type(owner).__name__
    if name.startswith("_") or name not in owner._config:
        text = f"{kind!r} object has no attribute {shown(name)}"
        raise missing_method(owner, name, text)
    warnings.warn(
        f"{name} is not an attribute of {kind} and was read from its config; write .config.{name}",
        FutureWarning,
        stacklevel=3,
    )
    return owner._config[name]


def _plain(value: Any) -> Any:
    """Return `value` as types that JSON has."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, Iterator)):
        return [_plain(item) for item in value]
    return value
