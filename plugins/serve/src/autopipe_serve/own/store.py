"""Uploads that requests name by ids, kept until newer ones need their place."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from ..errors import Refusal
from ..settings import Settings
from ..uploads import Uploads

MOST = 1000
"""The most uploads that are kept."""

MOST_BYTES = 2**30
"""The most bytes of them together."""

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True)
class _Kept:
    owner: str
    file: Path
    size: int


class Store:
    """The uploads of all clients, in a folder that is removed with the program.

    Threads may share it.

    Args:
        settings: the settings of the server.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="autopipe-uploads-")
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, content: bytes, owner: str, kind: str = "image") -> str:
        """Keep a file, and return its id.

        Raises:
            Refusal: as for `checked`.
        """
        id = secrets.token_hex(16)
        with Uploads(self.settings) as uploads:
            name = uploads.add(content, "file", kind)
            file = Path(self._folder.name) / f"{id}{Path(name).suffix}"
            shutil.move(uploads.folder / name, file)
        with self._lock:
            self._kept[id] = _Kept(owner, file, file.stat().st_size)
            while len(self._kept) > MOST or sum(o.size for o in self._kept.values()) > MOST_BYTES:
                self._kept.popitem(last=False)[1].file.unlink(missing_ok=True)
        return id

    def content(self, id: object, owner: str, name: str) -> bytes:
        """Return the bytes of an upload.

        Args:
            name: the field that names it, for messages.

        Raises:
            Refusal: if its owner has no such upload.
        """
        fits = isinstance(id, str) and _ID.fullmatch(id)
        with self._lock:
            found = self._kept.get(str(id)) if fits else None
            if found is None or found.owner != owner:
                raise Refusal(
                    400, f"{name} names an upload that isn't there (any more); upload it again",
                    param=name,
                )  # fmt: skip
            self._kept.move_to_end(str(id))
            return found.file.read_bytes()
