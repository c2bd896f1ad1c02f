"""Runs a program in which `diffusers` means autopipe.

Processes that the program starts by multiprocessing inherit this. For others, such as those of a
launcher: PYTHONPATH="$(python -m autopipe.as_diffusers --path)" accelerate launch train.py
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from autopipe.cli.text import say
from autopipe_compat.as_diffusers import folder


def main(arguments: list[str]) -> int:
    """Run the script that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m autopipe.as_diffusers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--path", action="store_true", help="print the folder for PYTHONPATH")
    parser.add_argument("script", nargs="?", help="the program")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="its arguments")
    given = parser.parse_args(arguments)
    if given.path:
        say(folder())
        return 0
    if given.script is None or not Path(given.script).is_file():
        parser.error(f"there is no file {given.script!r}" if given.script else "name a script")
    sys.argv = [given.script, *given.rest]
    sys.path.insert(0, str(Path(given.script).resolve().parent))
    runpy.run_path(given.script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
