"""How much autopipe and its packages write into the log, by the functions of diffusers.

Messages go to Python's `logging`. Unless the program configures that, warnings appear on stderr.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from logging import CRITICAL as CRITICAL
from logging import DEBUG as DEBUG
from logging import ERROR as ERROR
from logging import FATAL as FATAL
from logging import INFO as INFO
from logging import NOTSET as NOTSET
from logging import WARN as WARN
from logging import WARNING as WARNING
from typing import Any

from autopipe.registry import default_registry

_ROOT = "autopipe"

log_levels = {
    "debug": DEBUG,
    "info": INFO,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
}

_default_handler = logging.StreamHandler()
_explicit = logging.Formatter("[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s")
_has_bars = True


def get_logger(name: str | None = None) -> logging.Logger:
    """Return a logger; that of autopipe if no name is given."""
    return logging.getLogger(name or _ROOT)


def get_log_levels_dict() -> dict[str, int]:
    """Return the names of the levels with their numbers."""
    return log_levels


def get_verbosity() -> int:
    """Return the level from which autopipe writes messages."""
    return get_logger().getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Let autopipe and its packages write messages from this level on."""
    for one in _loggers():
        one.setLevel(verbosity)


def set_verbosity_debug() -> None:
    """Write all messages."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Write messages from the level INFO on."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Write warnings and errors."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Write errors only."""
    set_verbosity(ERROR)


def enable_default_handler() -> None:
    """Write the messages of autopipe to stderr with a handler of its own."""
    add_handler(_default_handler)


def disable_default_handler() -> None:
    """Take the handler of `enable_default_handler` away."""
    remove_handler(_default_handler)


def add_handler(handler: logging.Handler) -> None:
    """Let `handler` write the messages of autopipe and its packages."""
    for one in _loggers():
        one.addHandler(handler)


def remove_handler(handler: logging.Handler) -> None:
    """Take `handler` away again."""
    for one in _loggers():
        one.removeHandler(handler)


def disable_propagation() -> None:
    """Keep messages from the handlers of the program's root logger."""
    for one in _loggers():
        one.propagate = False


def enable_propagation() -> None:
    """Give messages to the handlers of the program's root logger, as is the default."""
    for one in _loggers():
        one.propagate = True


def enable_explicit_format() -> None:
    """Let the handlers of autopipe write level, file, line and time before a message."""
    _format(_explicit)


def reset_format() -> None:
    """Let the handlers of autopipe write the message alone."""
    _format(None)


def is_progress_bar_enabled() -> bool:
    """Whether `tqdm` of this module shows bars."""
    return _has_bars


def enable_progress_bar() -> None:
    """Let `tqdm` of this module show bars."""
    global _has_bars
    _has_bars = True


def disable_progress_bar() -> None:
    """Let `tqdm` of this module show none; for those of calls see `set_progress_bar_config`."""
    global _has_bars
    _has_bars = False


def tqdm(*args: Any, **kwargs: Any) -> Any:
    """Return a progress bar of the package tqdm, which shows nothing if bars are disabled."""
    from tqdm.auto import tqdm as bar

    return bar(*args, **{"disable": not _has_bars, **kwargs})


def _loggers() -> Iterator[logging.Logger]:
    """Yield the topmost loggers of autopipe, of the installed plugins and of their libraries."""
    manifests = default_registry().families.values()
    entries = [
        one for manifest in manifests for part in vars(manifest).values()
        if isinstance(part, tuple) for one in part
    ]  # fmt: skip
    plugins = {str(getattr(one, "target", "")).partition(".")[0] for one in entries}
    known = {name.partition(".")[0] for name in list(logging.root.manager.loggerDict)}
    ours = {name for name in known if name.startswith(f"{_ROOT}_")}
    for name in sorted({_ROOT, *plugins, *ours} - {"", "__main__"}):
        yield logging.getLogger(name)


def _format(formatter: logging.Formatter | None) -> None:
    for one in _loggers():
        for handler in one.handlers:
            handler.setFormatter(formatter)
