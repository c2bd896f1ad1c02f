"""Runs mypy and pyright on programs that use this library."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Found = dict[str, dict[int, str]]
"""The messages of a checker by file, relative to the folder, and by line."""


def mypy(folder: Path, paths: str = "", python: str = sys.executable) -> Found:
    """Run `mypy --strict` on the programs in `folder`, with `paths` as its search path."""
    found: Found = {}
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--explicit-package-bases"),
        *("--python-executable", python, "--no-error-summary", "--hide-error-context", "."),
    ]
    for line in _output(command, folder, {"MYPYPATH": paths}).splitlines():
        if match := re.match(r"(\S+?):(\d+): error: (.*)", line):
            found.setdefault(match[1], {})[int(match[2])] = match[3]
        elif ": note: " not in line:
            raise AssertionError(line)
    return found


def pyright(folder: Path, paths: str = "", python: str = sys.executable) -> Found:
    """Run pyright on the programs in `folder`, with `paths` as its search path."""
    config = {"extraPaths": [path for path in paths.split(os.pathsep) if path]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python]
    found: Found = {}
    answer = json.loads(_output(command, folder, {}))
    assert answer["summary"]["filesAnalyzed"] > 0
    for one in answer["generalDiagnostics"]:
        file = Path(one["file"]).resolve().relative_to(folder.resolve()).as_posix()
        line = one["range"]["start"]["line"] + 1
        found.setdefault(file, {})[line] = one["message"]
    return found


CHECKERS: Mapping[str, Callable[..., Found]] = {"mypy": mypy, "pyright": pyright}


def _output(command: list[str], folder: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout
