"""Outputs of calls: small records with access by attribute, key or index."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
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

    class AnyImage(Image, Any):  # type: ignore[misc]
        """One of `Images`: a PIL image, an array or a tensor."""

    class Images(list[Image], Any):  # type: ignore[misc]
        """The images of a call, whose type depends on its `output_type`.

        Most programs request PIL images, so type checkers and editors treat them as a list of
        images. They also accept everything that an array or a tensor has.
        """

        def __get__(self, output: object, owner: type | None = None) -> Images:
            """Return itself. With the base Any, checkers treat it as a possible descriptor."""

        @overload  # type: ignore[override]
        def __getitem__(self, index: int, /) -> AnyImage: ...
        @overload
        def __getitem__(self, index: slice, /) -> Images: ...
        @overload
        def __getitem__(self, index: object, /) -> Any: ...
        def __getitem__(self, index: object, /) -> Any:
            """Return one image, some of them, or the item of an array at `index`."""

        def __iter__(self) -> Iterator[AnyImage]:
            """Iterate over the images."""


_Self = TypeVar("_Self", bound="BaseOutput")


# A call with `return_dict=False` returns a tuple of the values. Type checkers treat it as an
# output, too, so the type of the items of an output is left open.
class BaseOutput(OrderedDict[Any, Any]):
    """Base of output dataclasses, which are ordered dicts of the fields that are not None.

    Subclasses are decorated with `@dataclass`; fields after the first are optional and default to
    None. A field that is None has no key and no index. `out.images`, `out["images"]` and `out[0]`
    are the same value. Outputs are registered with torch (`torch.utils._pytree`), so that code
    which traverses nested results finds their tensors. The constructor also accepts a mapping of
    all fields, or their items.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _register(cls)
        inherited = any("__dataclass_fields__" in vars(base) for base in cls.__mro__)
        for name in list(_own_annotations(cls))[0 if inherited else 1 :]:
            if name not in vars(cls):
                setattr(cls, name, None)

    def __post_init__(self) -> None:
        _register(type(self))
        names = _names(self)
        if not self:  # A frozen dataclass sets its fields without `__setattr__`.
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
                f"fields of {type(self).__name__} are set by name, not by {shown(key)}"
            )
        _fill(self, {**self, key: value})

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise ArgumentTypeError(
            f"fields of {type(self).__name__} can't be removed; set them to None, or change "
            f"dict(output)"
        )

    __delitem__ = pop = popitem = clear = _refuse

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), tuple(self.items()))

    def copy(self: _Self) -> _Self:
        """Return a shallow copy."""
        return _rebuilt(type(self), self.items())

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values of the fields that are not None, in order."""
        return tuple(self.values())


def _own_annotations(cls: type) -> Mapping[str, Any]:
    """The annotations of the class itself. Since Python 3.14 they are made when asked for."""
    if sys.version_info >= (3, 14):
        import annotationlib

        forward = annotationlib.Format.FORWARDREF
        return annotationlib.get_annotations(cls, format=forward)
    annotations: Mapping[str, Any] = vars(cls).get("__annotations__", {})
    return annotations


def _names(output: Any) -> tuple[str, ...]:
    known = fields(output) if hasattr(output, "__dataclass_fields__") else ()
    return tuple(field.name for field in known)


def _given_whole(value: Any, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return all fields if `value` is a mapping of them, or their items; None for other values.

    Libraries copy an output by passing its items to its class.
    """
    if isinstance(value, GeneratorType):
        one = next(value, None)
        if one is not None and not (isinstance(one, tuple) and len(one) == 2 and one[0] in names):
            return {names[0]: chain((one,), value)}
        value = dict([] if one is None else chain((one,), value))
    whole = isinstance(value, Mapping) and (not value or any(key in names for key in value))
    return dict.fromkeys(names) | dict(value) if whole else None


def _fill(output: BaseOutput, values: Mapping[str, Any]) -> None:
    """Set the fields of `output` to `values`, and its items to those that are not None."""
    OrderedDict.clear(output)
    for name in (*_names(output), *(n for n in values if n not in _names(output))):
        value = values.get(name)
        object.__setattr__(output, name, value)
        if value is not None:
            OrderedDict.__setitem__(output, name, value)


def _rebuilt(cls: type[_Self], items: Any) -> _Self:
    """Return an output of `cls` with these items."""
    made: _Self = cls.__new__(cls)
    _fill(made, dict(items))
    return made


_registered: set[type] = set()


def _register(cls: type[BaseOutput]) -> None:
    """Register `cls` with torch's pytree, once torch is imported.

    This is tried whenever an output is made, because importing torch here would take a second.
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
    """The output of a call that generates images.

    Attributes:
        images: a list of B PIL images, an array (B, H, W, C) or a tensor (B, C, H, W) in [0, 1],
            depending on the call's `output_type`.
    """

    images: Images

    if TYPE_CHECKING:

        def __init__(self, images: list[Image] | NDArray[Any] | Tensor) -> None: ...
