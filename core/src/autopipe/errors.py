"""Every error a user can meet, in one tree.

Each also is the built-in that programs written for the original API catch. A message says what
was asked, what was found and what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from .wording import listed as listed_names
from .wording import message, shown

_KIND = re.compile(r"(?<=.)(Pipeline|Scheduler|Model)$")


class AutopipeError(Exception):
    """The root of all errors that this library raises on purpose.

    Its text is fit for a terminal and a log, whatever the names and values in it come from.
    """

    def __str__(self) -> str:
        return message(super().__str__())


class ArgumentError(AutopipeError, ValueError):
    """A call got a value that it can't work with. Nothing was computed."""


class ArgumentTypeError(ArgumentError, TypeError):
    """A call got a value of the wrong type, or a keyword that it doesn't have."""


class ConfigError(AutopipeError, ValueError, OSError):
    """A config file or value is absent, malformed or contradicts itself."""


class CheckpointError(AutopipeError, OSError):
    """A checkpoint, or one of its files, is absent, half saved, or can't be read or written."""


class DamagedFileError(CheckpointError, ValueError):
    """A file is truncated, empty, a Git LFS pointer, or not what its name says."""


class ImageFileError(AutopipeError, OSError, ValueError):
    """A picture, given by path or address, is absent or can't be read."""


class UnsafeCheckpointError(CheckpointError, ValueError):
    """A checkpoint asks for something it must not: code, a path outside its folder, a pickle."""


class VariantError(CheckpointError, ValueError):
    """The checkpoint has no weights of the variant that was asked for."""


class WeightsMismatchError(AutopipeError, ValueError, RuntimeError):
    """The tensors of a file don't have the names or shapes that the model declares."""


class UnsupportedCheckpointError(AutopipeError, ValueError):
    """No installed family offers what the checkpoint needs for this task."""


class MissingPluginError(AutopipeError, ImportError, ValueError):
    """A class belongs to a family that is not installed; the message has the pip line."""


class PluginError(AutopipeError, ImportError):
    """An installed plugin is broken: its manifest, its API number, or one of its targets."""


class AutoClassError(AutopipeError, OSError):
    """An Auto class was constructed; use `from_pretrained` or `from_pipe`."""


class SchedulerError(AutopipeError, ValueError):
    """A scheduler can't do what its config or a call asks of it."""


class ClosedPipelineError(AutopipeError, RuntimeError):
    """The pipeline's weights were given back by `close()`."""


class PlacementError(AutopipeError, ValueError, RuntimeError):
    """Networks can't be where they were asked to be, or not now."""


class MissingPackageError(AutopipeError, ModuleNotFoundError):
    """A package that only this feature needs is not installed."""


class CancelledError(AutopipeError, RuntimeError):
    """The call was cancelled by `cancel()`; the pipeline stays usable."""


class NotHereYetError(AutopipeError, AttributeError, NotImplementedError):
    """A name or method of diffusers is not in autopipe yet; the message has the nearest way."""


class NotHereYetImportError(AutopipeError, ImportError, NotImplementedError):
    """What an import names is in diffusers and not in autopipe yet."""


class AutopipeDeprecationWarning(FutureWarning):
    """What is used here is removed by a later release. The warning says which, and what to do."""


def nearest(name: object, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name closest to `name`, or an empty string.

    What classes of one kind end in doesn't make two of them near.
    """
    if not isinstance(name, str):
        return ""
    name, kind = name[:200], _KIND.search(name)
    names = {one: one for one in known}
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.9 if kind else 0.6)
    if kind and not close:
        names = {_KIND.sub("", one): one for one in names if one.endswith(kind[0])}
        close = difflib.get_close_matches(_KIND.sub("", name), names, n=1, cutoff=0.75)
    return f" Did you mean {shown(names[close[0]])}?" if close else ""


def check_names(
    given: object, known: Iterable[str], said: str, listed: Iterable[str] | None = None
) -> None:
    """Raise `ArgumentTypeError` for the first name in a mapping `given` that is not `known`.

    Args:
        given: something else than a mapping passes.
        said: what has no such name, for the message.
        listed: the names to tell where none is near; by default all that are known.
    """
    names = tuple(known)
    for name in given if isinstance(given, Mapping) else ():
        if name not in names:
            others = listed_names(filter(None, names if listed is None else listed), 30)
            close = nearest(name, names) or f" There are {others}."
            raise ArgumentTypeError(f"{said} {shown(name)}.{close}")
