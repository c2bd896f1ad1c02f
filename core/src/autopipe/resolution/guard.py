"""Runs the code of plugins, so that a failing plugin can't stop the others.

A plugin may raise anything: `SystemExit`, `CancelledError`, its own subclass of `BaseException`, or
an exception whose `str` raises. Each becomes an error of this library with the original as its
cause. Only `KeyboardInterrupt` passes through.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..errors import AutopipeError
from ..wording import reason


class guarded:
    """Context manager that runs plugin code and converts its exceptions with `failed`.

    Args:
        failed: makes an error from the reason, such as `"ValueError: no kernel"`.
        ours: whether errors of this library pass unchanged.
    """

    def __init__(self, failed: Callable[[str], Exception], ours: bool = True) -> None:
        self._failed = failed
        self._pass = (KeyboardInterrupt, AutopipeError) if ours else (KeyboardInterrupt,)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, self._pass):
            raise self._failed(reason(error)) from error
