"""Configuration of models, schedulers and pipelines: what a `config.json` holds.

A class declares its configuration as the parameters of its constructor. `register_to_config`
records the values of one construction, `from_config` constructs from recorded ones, and the
record itself never changes.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, ClassVar, TypeVar

from .errors import AutopipeError, ConfigError
from .regular import opened

FORMAT_VERSION = "0.42.1"
"""The `_diffusers_version` whose folder format this library reads and writes."""

_Self = TypeVar("_Self", bound="ConfigMixin")
_Init = TypeVar("_Init", bound=Callable[..., None])

_LARGEST_FILE = 1 << 25
"""Bytes of a JSON file: those that list the shards of the largest models have a few millions."""

_MOST_PARTS = 1 << 20
"""Commas, colons, brackets and texts in JSON: what lists 8,000 tensors has less than 200,000."""

_MARKS = (b",", b":", b"[", b"{")

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
        """The constructor's parameters that a config may set, by name."""
        if "_init_parameters" not in cls.__dict__:
            found = {
                name: parameter
                for name, parameter in inspect.signature(cls.__init__).parameters.items()
                if name != "self"
                and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
                and name not in cls.ignore_for_config
            }
            cls._init_parameters = MappingProxyType(found)
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
        made = cls(**values)
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
            if name != "self" and not name.startswith("_") and name not in self.ignore_for_config
        }
        defaulted = tuple(name for name in values if name not in given)
        self.register_to_config(**values, **{_USED_DEFAULTS: defaulted})
        init(self, *args, **kwargs)

    return recorded  # type: ignore[return-value]


def read_json_object(
    file: Path, open_file: Callable[[Path, int], BinaryIO] = opened
) -> dict[str, Any]:
    """The JSON object in `file`.

    Args:
        open_file: what opens a file of at most so many bytes.

    Raises:
        ConfigError: the file is absent, not a regular file, not JSON, larger than any config, or
            holds something else than an object.
    """
    try:
        with open_file(file, _LARGEST_FILE) as stream:
            content = stream.read(_LARGEST_FILE)
        if content.startswith(b"version https://git-lfs.github.com/"):
            raise ConfigError(
                f"{file} is a Git LFS pointer, not the file itself; run `git lfs pull` in the "
                f"folder, or download the checkpoint again"
            )
        found = parse_json(content)
    except AutopipeError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist; is this the folder of a checkpoint?") from None
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error}; fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds a {type(found).__name__} where an object is expected")
    return found


def parse_json(content: bytes) -> Any:
    """The value that some JSON stands for.

    Raises:
        ValueError: it is not JSON, or it has too many entries: each takes up to a hundred bytes of
            memory, however few it takes in the file.
        RecursionError: it is nested too deeply.
    """
    # Quick, and never too few. What stands in texts is left out only where that may matter.
    if sum(map(content.count, _MARKS)) > _MOST_PARTS and _parts(content) > _MOST_PARTS:
        raise ValueError(f"it has more than {_MOST_PARTS:,} entries")
    return json.loads(content.decode("utf-8"))


def _parts(content: bytes) -> int:
    """Texts, and marks outside of them; not all where they are more than the most."""
    content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    found, start = 0, 0
    while start >= 0 and found <= _MOST_PARTS:
        text = content.find(b'"', start)
        stop = len(content) if text < 0 else text
        found += 1 + sum(content.count(mark, start, stop) for mark in _MARKS)
        end = content.find(b'"', stop + 1)
        start = end + 1 if end >= 0 else -1
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
