"""What the page keeps of each open tab: its order, its results, and the pictures behind them."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .orders import Order


class Session:
    """What the page keeps of a tab.

    Args:
        folder: where its files are.

    Attributes:
        folder: where its files are.
        order: the order that is being drawn, or None.
        canvases: the values of the editor with which results were drawn, by their files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order: Order | None = None
        self.canvases: dict[str, Mapping[str, Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def tidy(self, kept: Collection[Path]) -> None:
        """Remove all results but some, and all pictures but those behind them."""
        self.canvases = {file: one for file, one in self.canvases.items() if Path(file) in kept}
        values = self.canvases.values()
        behind = {
            Path(file) for one in values for file in (one["background"], *one["layers"]) if file
        }
        for file in [*self.folder.rglob("*")]:
            if file.is_file() and file not in kept and file not in behind:
                file.unlink(missing_ok=True)
        for folder in self.folder.iterdir():
            if folder.is_dir():
                with suppress(OSError):  # It isn't empty.
                    folder.rmdir()


class Sessions:
    """The open tabs.

    Args:
        folder: the folder of their folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, id: str | None) -> Session:
        """Return the session of an id, a new one if need be."""
        name = str(id)
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = Session(self._folder / f"tab-{secrets.token_hex(8)}")
            return self._sessions[name]

    async def end(self, id: str | None) -> None:
        """Cancel the order of a tab that was closed, and remove its files."""
        with self._lock:
            session = self._sessions.pop(str(id), None)
        if session is not None:
            if session.order is not None:
                await session.order.cancel()
            shutil.rmtree(session.folder, ignore_errors=True)
