"""The two ways to take a measurement: a worker that stays alive, and a program that runs once.

Processes of equal programs differ, because page faults fall differently in each. So whatever is
compared is alive at the same time and takes turns, and several processes are made of each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "TQDM_DISABLE": "1",
}


class Failed(Exception):
    """A process ended without a measurement; the text is the end of what it wrote."""


@dataclass(frozen=True)
class Variant:
    """What is measured: a library with its settings.

    Attributes:
        library: `"autopipe"` or `"diffusers"`.
        options: the settings of the task; see `measure.py`.
        environment: environment variables of the process.
        fresh_cache: whether a process finds nothing that engines kept of earlier ones.
        checkout: another version of this project, whose sources are used.
    """

    library: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh_cache: bool = False
    checkout: Path | None = None

    def environ(self) -> dict[str, str]:
        """Return the environment of its processes."""
        env = {**os.environ, **QUIET, **self.environment}
        if self.checkout is not None:
            plugins = sorted(self.checkout.glob("plugins/*/src"))
            env["PYTHONPATH"] = os.pathsep.join(map(str, [self.checkout / "core/src", *plugins]))
            # Metadata of what is installed is there for both: it must not be asked for what the
            # checkout lacks.
            env["AUTOPIPE_PLUGINS"] = ",".join(source.parent.name for source in plugins)
        return env


class Source(Protocol):
    """Something that takes measurements."""

    def take(self) -> dict[str, float]:
        """Take one measurement: quantities by name."""

    def close(self) -> None:
        """End the process."""


class Worker:
    """A process of `measure.py`, which takes a measurement whenever it is asked."""

    def __init__(
        self, variant: Variant, task: str, checkpoint: Path, options: Mapping[str, Any]
    ) -> None:
        told = json.dumps({**options, **variant.options})
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # It lives as long as this.
        self._cache = tempfile.TemporaryDirectory() if variant.fresh_cache else None
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "measure.py"), variant.library, task, checkpoint, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=variant.environ() | ({"XDG_CACHE_HOME": self._cache.name} if self._cache else {}),
        )

    def take(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            raise Failed(_end_of(self._errors.read()))
        measured: dict[str, float] = json.loads(answer)
        return measured

    def close(self) -> None:
        self._process.communicate()
        self._errors.close()
        if self._cache is not None:
            self._cache.cleanup()


class Program:
    """A command that runs from start to end for each measurement, which includes all imports."""

    def __init__(self, variant: Variant, command: Sequence[str]) -> None:
        self._variant, self._command = variant, command

    def take(self) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            done = subprocess.run(
                self._command,
                cwd=folder,
                env=self._variant.environ(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            taken = time.perf_counter() - start
        if done.returncode != 0:
            raise Failed(_end_of(done.stderr))
        return {"seconds": taken}

    def close(self) -> None:
        """Nothing is left running."""


def _end_of(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-5:])
