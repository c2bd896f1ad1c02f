"""Warnings of programs about their own old arguments, and their demands on versions."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from packaging.version import Version

from autopipe.config import FORMAT_VERSION
from autopipe.errors import ArgumentError, ArgumentTypeError, NotHereYetImportError
from autopipe.wording import shown

_Function = TypeVar("_Function", bound=Callable[..., Any])


def deprecate(
    *args: Any, take_from: Any = None, standard_warn: bool = True, stacklevel: int = 2
) -> Any:
    """Warn that something is deprecated, and return the old values in `take_from`.

    Args:
        *args: a name, the version that removes it and what to do; or several tuples of these.
        take_from: the keywords of the caller, from which the old ones are removed; or an object
            with old attributes. None warns in any case.
        standard_warn: begin the warning with a sentence about the name.

    Returns:
        None, the value, or a tuple of values if there are several.

    Raises:
        ArgumentError: if the version of diffusers in whose place autopipe stands is not below that
            which removes it.
        ArgumentTypeError: if keywords are left in `take_from`.
    """
    several = args if isinstance(args[0], tuple) else (args,)
    values = []
    for name, version, text in several:
        if Version(FORMAT_VERSION) >= Version(version):
            raise ArgumentError(
                f"{name} was to be removed in version {version}, and this is {FORMAT_VERSION}; "
                f"remove the call of deprecate"
            )
        if isinstance(take_from, dict):
            found, what = name in take_from, f"The argument {name}"
        else:
            found, what = take_from is None or hasattr(take_from, name), str(name)
        if not found:
            continue
        if isinstance(take_from, dict):
            values.append(take_from.pop(name))
        elif take_from is not None:
            values.append(getattr(take_from, name))
        opening = f"{what} is deprecated and will be removed in version {version}. "
        warnings.warn(
            (opening if standard_warn else "") + text, FutureWarning, stacklevel=stacklevel
        )
    if isinstance(take_from, dict) and take_from:
        frame = inspect.currentframe()
        caller = frame.f_back.f_code.co_name if frame and frame.f_back else "the call"
        raise ArgumentTypeError(f"{caller} has no keyword {shown(next(iter(take_from)))}")
    return values[0] if len(values) == 1 else tuple(values) or None


def check_min_version(min_version: str) -> None:
    """Check that names here are at least those of the version `min_version` of diffusers.

    Raises:
        NotHereYetImportError: if that version is newer than the one whose names autopipe has.
    """
    if Version(FORMAT_VERSION) < Version(min_version):
        raise NotHereYetImportError(
            f"the program needs diffusers {min_version}; autopipe has the names of "
            f"{FORMAT_VERSION}. Update autopipe, or take the program of that version"
        )


def replace_example_docstring(example_docstring: str) -> Callable[[_Function], _Function]:
    """Return a decorator that puts an example where a docstring has a line `Examples:`.

    Raises:
        ArgumentError: from the decorator, if the docstring has no such line.
    """

    def replace(function: _Function) -> _Function:
        text, count = re.subn(
            r"^[ \t]*Examples?:[ \t]*$",
            lambda _: example_docstring,
            function.__doc__ or "",
            count=1,
            flags=re.MULTILINE,
        )
        if not count:
            raise ArgumentError(
                f"the docstring of {function.__qualname__} has no line 'Examples:' to replace"
            )
        function.__doc__ = text
        return function

    return replace
