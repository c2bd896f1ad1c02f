"""The config of one object: the arguments of its constructor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import ArgumentTypeError
from .wording import shown

_Self = TypeVar("_Self", bound="FrozenConfig")


class FrozenConfig(dict[str, Any]):
    """The config of one object: a dict whose keys are also attributes.

    Entries of a network or a scheduler can be set one at a time and are checked like arguments of
    the constructor. The object uses the new value wherever it reads its config; what its
    constructor made from the old value (layers, betas) stays. No other change is allowed.
    """

    _owner: type[Any] | None = None

    @classmethod
    def of(cls: type[_Self], owner: type[Any], values: Mapping[str, Any]) -> _Self:
        """Return the config with `values` for an object of the class `owner`."""
        made = cls(values)
        object.__setattr__(made, "_owner", owner)
        return made

    def owner_class(self) -> Any:
        """Return the class of the object whose config this is; None for a dict by itself."""
        return self._owner

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this config has no entry {shown(name)}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        if self._owner is None:
            self._refuse()
        else:
            changed = self._owner.changed_config(self, {name: value})
            self._owner.check_config({**self, **changed})
            super().update(changed)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def _refuse(self, *args: object, **kwargs: object) -> Any:
        raise ArgumentTypeError(
            "a config can't be changed this way; call register_to_config(key=value) of the object "
            "that has it, or make another object with from_config(config, key=value)"
        )

    __delitem__ = __delattr__ = _refuse
    update = setdefault = pop = popitem = clear = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).of, (self._owner, dict(self)))

    def __copy__(self) -> FrozenConfig:
        return type(self).of(self._owner, self)  # type: ignore[arg-type]
