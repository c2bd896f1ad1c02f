"""How much memory a process uses."""

from __future__ import annotations

import re
import threading
from pathlib import Path


def private() -> float:
    """Return the MiB of memory of this process alone; pages of mapped files don't count."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


class Peak:
    """The largest private memory while a block runs, in MiB."""

    def __enter__(self) -> Peak:
        self.mib = private()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.mib = max(self.mib, private())

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.mib = max(self.mib, private())
