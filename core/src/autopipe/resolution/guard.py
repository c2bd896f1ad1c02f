"""The one way to code that plugins bring, so that none of them can end what others do.

A plugin may raise anything at all: `SystemExit`, `CancelledError`, an exception of its own that
descends from `BaseException`, one whose text can't be had. Whatever it is, it becomes an error of
this library, with the original as its cause. Ctrl-C alone is the user's and passes.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..errors import AutopipeError
from ..wording import reason


class guarded:
    """Run code of a plugin, and raise what `failed` makes of the reason if it raises.

    Errors of this library pass as they are, but for those of which `ours` is False.

    Args:
        failed: makes an error from the reason, such as `"ValueError: no kernel"`.
        ours: whether errors of this library pass.
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
