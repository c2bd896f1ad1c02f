"""Every error that a user can meet, in one hierarchy.

Each error is also the built-in exception that programs written for diffusers catch. A message says
what was requested, what was found and what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from .wording import listed as listed_names
from .wording import message, shown

_KIND = re.compile(r"(?<=.)(Pipeline|Scheduler|Model)$")


class AutopipeError(Exception):
    """The base of all errors that this library raises on purpose.

    Its text is safe for a terminal and a log, wherever the names and values in it come from.
    """

    def __str__(self) -> str:
        return message(super().__str__())


class ArgumentError(AutopipeError, ValueError):
    """A call received a value that it can't use. Nothing was computed."""


class ArgumentTypeError(ArgumentError, TypeError):
    """A call received a value of the wrong type, or an unknown keyword."""


class ConfigError(AutopipeError, ValueError, OSError):
    """A config file or entry is absent, malformed or contradictory."""


class CheckpointError(AutopipeError, OSError):
    """A checkpoint or one of its files is absent, incomplete, or can't be read or written."""


class DamagedFileError(CheckpointError, ValueError):
    """A file is truncated, empty, a Git LFS pointer, or not of the format that its name says."""


class ImageFileError(AutopipeError, OSError, ValueError):
    """An image, given by path or URL, is absent or can't be read."""


class UnsafeCheckpointError(CheckpointError, ValueError):
    """A checkpoint asks for something unsafe: code, a path outside its folder, a pickle."""


class VariantError(CheckpointError, ValueError):
    """The checkpoint has no weights of the requested variant."""


class WeightsMismatchError(AutopipeError, ValueError, RuntimeError):
    """The tensors of a file don't have the names or shapes that the network declares."""


class UnsupportedCheckpointError(AutopipeError, ValueError):
    """No installed family provides a pipeline for this checkpoint and task."""


class QuantizedWeightsError(
    UnsupportedCheckpointError, CheckpointError, ConfigError, WeightsMismatchError, ArgumentError
):
    """Weights are quantized, or a call asks for that; networks here compute with floats only."""

    @classmethod
    def of(cls, origin: object, method: str) -> QuantizedWeightsError:
        """Return the error for `origin`, whose weights are quantized.

        Args:
            method: what quantized them.
        """
        return cls(f"{origin} has quantized weights ({method}), which are not supported; {cls._do}")

    @classmethod
    def wanted(cls, keyword: str) -> QuantizedWeightsError:
        """Return the error for a `keyword` that asks to quantize weights."""
        return cls(f"{keyword}= asks to quantize weights, which is not supported; {cls._do}")

    _do = (
        "use the checkpoint without quantization, in float16 or bfloat16. If memory is short, pass "
        "memory='auto', or call enable_model_cpu_offload()"
    )


class MissingPluginError(AutopipeError, ImportError, ValueError):
    """A class belongs to a family that is not installed; the message has the pip command."""


class PluginError(AutopipeError, ImportError):
    """An installed plugin is broken: its manifest, its API number, or one of its targets."""


class AutoClassError(AutopipeError, OSError):
    """An Auto class was instantiated; call `from_pretrained` or `from_pipe` instead."""


class SchedulerError(AutopipeError, ValueError):
    """A scheduler can't do what its config or a call requests."""


class ClosedPipelineError(AutopipeError, RuntimeError):
    """The pipeline was closed: `close()` released its weights."""


class PlacementError(AutopipeError, ValueError, RuntimeError):
    """Networks can't be placed where requested, or not at this time, or don't fit there."""


class MissingPackageError(AutopipeError, ModuleNotFoundError):
    """An optional package that this feature needs is not installed."""


class CancelledError(AutopipeError, RuntimeError):
    """The call was cancelled by `cancel()`; the pipeline stays usable."""


class NotHereYetError(AutopipeError, AttributeError, NotImplementedError):
    """A name or method of diffusers is not in autopipe yet; the message has an alternative."""


class NotHereYetImportError(AutopipeError, ImportError, NotImplementedError):
    """An imported name or module of diffusers is not in autopipe yet."""


class AutopipeDeprecationWarning(FutureWarning):
    """A later release removes something that the program uses; the warning says what to do."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known name closest to `name`, or an empty string.

    The common ending of class names (such as `Pipeline`) doesn't count as similarity.
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
    given: object, known: Iterable[str], opening: str, listed: Iterable[str] | None = None
) -> None:
    """Check that every name in the mapping `given` is one of `known`.

    Args:
        given: anything other than a mapping passes.
        opening: the beginning of the message, such as "to() has no keyword".
        listed: the names to list if none is similar; by default all known ones.

    Raises:
        ArgumentTypeError: if a name is not known.
    """
    names = tuple(known)
    for name in given if isinstance(given, Mapping) else ():
        if name not in names:
            others = listed_names(filter(None, names if listed is None else listed), 30)
            close = nearest(name, names) or f" Known: {others}."
            raise ArgumentTypeError(f"{opening} {shown(name)}.{close}")
