"""Configuration of models, schedulers and pipelines: what a `config.json` holds.

A class declares its configuration as the parameters of its constructor. `register_to_config`
records the values of one construction, `from_config` constructs from recorded ones, and the
record itself never changes.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from .errors import ConfigError

FORMAT_VERSION = "0.42.1"
"""The `_diffusers_version` whose folder format this library reads and writes."""

_Self = TypeVar("_Self", bound="ConfigMixin")
_Made = TypeVar("_Made")
_Init = TypeVar("_Init", bound=Callable[..., None])

_LARGEST_FILE = 1 << 26
"""Bytes of a JSON file: those that list the shards of the largest models have a few millions."""

_GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
"""Kinds of parameters that have no name of their own to be given by."""

_TWICE = re.compile(r"got multiple values for (?:keyword )?argument '(\w+)'")

_USED_DEFAULTS = "_use_default_values"
_BOOKKEEPING = frozenset({"_class_name", "_diffusers_version", _USED_DEFAULTS})


class FrozenConfig(dict[str, Any]):
    """A dict that can't be changed and whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this config has no entry {name!r}") from None

    def _refuse(self, *args: object, **kwargs: object) -> Any:
        raise TypeError("a config can't be changed; use from_config(config, key=value) instead")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _refuse
    update = setdefault = pop = popitem = clear = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (dict(self),))

    def __copy__(self) -> FrozenConfig:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenConfig:
        return self


class ConfigMixin:
    """Gives a class `config`, `from_config`, `load_config` and `save_config`.

    `config_name` is the file name of the saved config; `ignore_for_config` lists constructor
    parameters that are not part of it.
    """

    config_name: ClassVar[str | None] = None
    ignore_for_config: ClassVar[tuple[str, ...]] = ()
    has_compatibles: ClassVar[bool] = False

    _config: FrozenConfig = FrozenConfig()
    _init_parameters: ClassVar[Mapping[str, inspect.Parameter]]

    @property
    def config(self) -> FrozenConfig:
        """The values this object was made with; immutable."""
        return self._config

    def register_to_config(self, **values: Any) -> None:
        """Record `values` in the config, over those already there."""
        object.__setattr__(self, "_config", FrozenConfig({**self._config, **values}))

    @classmethod
    def init_parameters(cls) -> Mapping[str, inspect.Parameter]:
        """The constructor's parameters that a config may set, by name.

        Of a constructor that passes keywords on (`**kwargs`), also those of the next one.
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

    @classmethod
    def from_config(
        cls: type[_Self],
        config: Mapping[str, Any],
        *,
        return_unused_kwargs: bool = False,
        **overrides: Any,
    ) -> Any:
        """Construct from `config`, with `overrides` taking precedence.

        Keys that this class doesn't know stay in the new object's config, so that a later
        `from_config` of another class finds them; so does the release that wrote them. With
        `return_unused_kwargs` the result is `(object, overrides that are no parameters)`.

        Raises:
            ConfigError: `config` is no mapping (a path belongs to `from_pretrained`), or the
                constructor refuses the values.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(
                f"{cls.__name__}.from_config takes a mapping, not {type(config).__name__}; "
                f"to load from a folder call {cls.__name__}.from_pretrained"
            )
        defaulted = {"_class_name", _USED_DEFAULTS, *config.get(_USED_DEFAULTS, ())}
        known = cls.init_parameters()
        stored = {name: value for name, value in config.items() if name not in defaulted}
        values = {name: value for name, value in {**stored, **overrides}.items() if name in known}
        unused = {name: value for name, value in overrides.items() if name not in known}
        made = construct(cls, values)
        made.register_to_config(**{n: value for n, value in stored.items() if n not in known})
        return (made, unused) if return_unused_kwargs else made

    @classmethod
    def load_config(cls, path: str | Path, *, subfolder: str | None = None) -> dict[str, Any]:
        """Read the config of this class from a local folder (or file)."""
        assert cls.config_name is not None, f"{cls.__name__} names no config file"
        file = Path(path)
        if not file.is_file():
            file = file / (subfolder or "") / cls.config_name
        return read_json_object(file)

    def to_json_string(self) -> str:
        """The config as it is saved: sorted JSON, with `_class_name` first."""
        entries = {
            "_class_name": type(self).__name__,
            "_diffusers_version": FORMAT_VERSION,
            **{k: _plain(v) for k, v in sorted(self.config.items()) if k not in _BOOKKEEPING},
        }
        return json.dumps(entries, indent=2) + "\n"

    def save_config(self, save_directory: str | Path) -> None:
        """Write the config into `save_directory`, which is made if need be."""
        assert self.config_name is not None, f"{type(self).__name__} names no config file"
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.config_name).write_text(self.to_json_string(), encoding="utf-8")


def constructors(cls: type) -> Iterator[Callable[..., None]]:
    """The constructors that a keyword of `cls(...)` may reach, the outermost first.

    That is its own, and as long as each takes any keywords, which it passes on, the next one in
    the order of its bases.
    """
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is not None:
            yield init
            kinds = [one.kind for one in inspect.signature(init).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                return


def construct(cls: Callable[..., _Made], values: Mapping[str, Any]) -> _Made:
    """`cls(**values)`, less the values that a constructor passes on and sets by itself as well.

    That it does can't be told from its signature; Python tells when it is called.
    """
    values = dict(values)
    while True:
        try:
            return cls(**values)
        except TypeError as error:
            twice = _TWICE.search(str(error))
            if twice is None or values.pop(twice[1], _TWICE) is _TWICE:
                raise


def register_to_config(init: _Init) -> _Init:
    """Decorate `__init__` so that its arguments, defaults included, become the config."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def recorded(self: ConfigMixin, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        given = set(bound.arguments)
        bound.apply_defaults()
        values = {
            name: value
            for name, value in bound.arguments.items()
            if name != "self"
            and signature.parameters[name].kind not in _GATHERING
            and not name.startswith("_")
            and name not in self.ignore_for_config
        }
        # What a subclass recorded before it came here stays, but for what it passes on.
        before = self.config.get(_USED_DEFAULTS, ())
        defaulted = tuple(
            [name for name in before if name not in values]
            + [name for name in values if name not in given]
        )
        self.register_to_config(**values, **{_USED_DEFAULTS: defaulted})
        init(self, *args, **kwargs)

    return recorded  # type: ignore[return-value]


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        ConfigError: the file is absent, is not JSON, or holds something else than an object.
    """
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{file} is larger than any config; fetch it again")
        text = file.read_text(encoding="utf-8")
        if text.startswith("version https://git-lfs.github.com/"):
            raise ConfigError(
                f"{file} is a Git LFS pointer, not the file itself; run `git lfs pull` in the "
                f"folder, or download the checkpoint again"
            )
        found = json.loads(text)
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist; is this the folder of a checkpoint?") from None
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds a {type(found).__name__} where an object is expected")
    return found


def _plain(value: Any) -> Any:
    """`value` as JSON knows it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, Iterator)):
        return [_plain(item) for item in value]
    return value
