"""The command `autopipe`: one file for each subcommand; heavy imports only where needed.

Exit codes: 0 for success, 1 if `doctor` or `inspect` found something broken, 2 for an error that
the message explains, 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import TracebackType

from ..errors import AutopipeError
from ..wording import error_text
from .parser import parse
from .text import say


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments after the program's name; by default those of the process.
    """
    line = sys.argv[1:] if argv is None else argv
    if argv is None:
        sys.excepthook = _show_traceback
    try:
        arguments = parse(line)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as end:  # argparse, after --help, --version or a wrong argument
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # the reader of the output closed it, as `head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 1
    except (AutopipeError, OSError) as error:  # OSError: a full disk, a file that can't be read.
        if "--traceback" in line:
            raise
        say(f"autopipe: {error_text(error)}", error=True)
        return 2
    except KeyboardInterrupt:
        say("\nautopipe: stopped by Ctrl-C; no incomplete file was left", error=True)
        return 130
    return code if isinstance(code, int) else 0


def _show_warning(message: Warning | str, *where: object, **how: object) -> None:
    say(f"autopipe: {message}", error=True)


def _show_traceback(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    say("".join(traceback.format_exception(kind, error, where)), error=True, end="")
