"""What calls return: small records that are read by attribute, by name or by position."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import chain
from types import GeneratorType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from .errors import ArgumentTypeError
from .wording import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    class Images(list[Image], Any):  # type: ignore[misc]
        """The images of a call, whose `output_type` says of what kind they are.

        Most programs ask for PIL images, so type checkers know these exactly. They let everything
        pass that a list doesn't have and an array or a tensor may have. What has a name with a
        type is checked as such: `array: np.ndarray = pipe(..., output_type="np").images`.
        """

        def __get__(self, output: object, owner: type | None = None) -> Images:
            """Itself. Checkers ask: with the base Any it might be a descriptor."""

        @overload  # type: ignore[override]
        def __getitem__(self, index: int, /) -> Image: ...
        @overload
        def __getitem__(self, index: slice, /) -> Images: ...
        @overload
        def __getitem__(self, index: object, /) -> Any: ...
        def __getitem__(self, index: object, /) -> Any:
            """One image, some of them, or what an array has at `index`."""
else:
    Images = Any

_Self = TypeVar("_Self", bound="BaseOutput")


# A call with `return_dict=False` returns a tuple of the values. Checkers take it for an output all
# the same, so what iterating over one gives is left open.
class BaseOutput(OrderedDict[Any, Any]):
    """Base of output dataclasses, which are ordered dicts of the fields that hold something.

    Subclasses are decorated with `@dataclass`; fields after the first may be left out and are
    None then. A field that is None is in no key, value or position. `out.images`, `out["images"]`
    and `out[0]` are the same, to be read and to be set. Torch takes outputs apart and puts them
    together again (`torch.utils._pytree`), so what walks through nested results finds the tensors
    in them. Instead of the fields, the constructor takes a mapping of them, or the pairs.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _register(cls)
        inherited = any("__dataclass_fields__" in vars(base) for base in cls.__mro__)
        for name in list(vars(cls).get("__annotations__", ()))[0 if inherited else 1 :]:
            if name not in vars(cls):
                setattr(cls, name, None)

    def __post_init__(self) -> None:
        _register(type(self))
        names = _names(self)
        if not self:  # A frozen dataclass sets its fields past this class.
            _fill(self, {name: getattr(self, name) for name in names})
        if len(self) == 1:
            whole = _given_whole(self.get(names[0]), names)
            if whole is not None:
                _fill(self, whole)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        names = _names(self)
        if name in names and name not in self:
            if value is not None:
                last = next(reversed(self), name)
                super().__setitem__(name, value)
                if last not in names or names.index(last) > names.index(name):
                    _fill(self, dict(self))
        elif name in self:
            _fill(self, {**self, name: value})

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise ArgumentTypeError(
                f"fields of a {type(self).__name__} are set by name, and {shown(key)} is none"
            )
        _fill(self, {**self, key: value})

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise ArgumentTypeError(
            f"the fields of a {type(self).__name__} can't be taken away; set them to None, or "
            f"change dict(output)"
        )

    __delitem__ = pop = popitem = clear = _refuse

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), tuple(self.items()))

    def copy(self: _Self) -> _Self:
        """An output of the same values."""
        return _rebuilt(type(self), self.items())

    def to_tuple(self) -> tuple[Any, ...]:
        """The values of the fields that hold something, in order."""
        return tuple(self.values())


def _names(output: Any) -> tuple[str, ...]:
    known = fields(output) if hasattr(output, "__dataclass_fields__") else ()
    return tuple(field.name for field in known)


def _given_whole(value: Any, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The fields, where `value` isn't that of the first but a mapping of all, or their pairs.

    So libraries make a second output of the items of a first.
    """
    if isinstance(value, GeneratorType):
        one = next(value, None)
        if one is not None and not (isinstance(one, tuple) and len(one) == 2 and one[0] in names):
            return {names[0]: chain((one,), value)}
        value = dict([] if one is None else chain((one,), value))
    whole = isinstance(value, Mapping) and (not value or any(key in names for key in value))
    return dict.fromkeys(names) | dict(value) if whole else None


def _fill(output: BaseOutput, values: Mapping[str, Any]) -> None:
    """Make `values` the fields of `output`, and those that hold something its items, in order."""
    OrderedDict.clear(output)
    for name in (*_names(output), *(n for n in values if n not in _names(output))):
        value = values.get(name)
        object.__setattr__(output, name, value)
        if value is not None:
            OrderedDict.__setitem__(output, name, value)


def _rebuilt(cls: type[_Self], items: Any) -> _Self:
    """An output of `cls` with these items."""
    made: _Self = cls.__new__(cls)
    _fill(made, dict(items))
    return made


_registered: set[type] = set()


def _register(cls: type[BaseOutput]) -> None:
    """Tell torch, once it is there, how outputs of `cls` are taken apart.

    It is tried whenever an output is made, since importing torch for this would take a second.
    """
    if cls in _registered or "torch" not in sys.modules:
        return
    from torch.utils import _pytree

    _registered.add(cls)
    _pytree.register_pytree_node(
        cls,
        lambda output: (list(output.values()), list(output)),
        lambda values, names: _rebuilt(cls, zip(names, values)),
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
    )


@dataclass
class ImagePipelineOutput(BaseOutput):
    """What a call returns whose result is images.

    Attributes:
        images: a list of B PIL images, an array (B, H, W, C) or a tensor (B, C, H, W) in [0, 1],
            as the call's `output_type` says.
    """

    images: Images

    if TYPE_CHECKING:

        def __init__(self, images: list[Image] | NDArray[Any] | Tensor) -> None: ...
