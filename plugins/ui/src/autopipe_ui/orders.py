"""Orders: requests of one user, sent to the server one after the other."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import Client, ServerError, Upload, plain

_AHEAD = 2
"""The requests of an order that are with the server, so that it needn't wait for the next."""


class CancelledOrderError(Exception):
    """An order was cancelled."""


@dataclass(frozen=True)
class Progress:
    """How far an order is.

    Attributes:
        text: a sentence for the user.
        part: the finished part, from 0 to 1.
        preview: the image that is being drawn, as a PNG in base64; None if it is the same.
        file: a written result, or None.
        place: the number of the request that drew it.
        seed: the seed of a result.
    """

    text: str
    part: float
    preview: str | None = None
    file: Path | None = None
    place: int = 0
    seed: int = 0


class Order:
    """Requests that are drawn one after the other.

    Args:
        client: the server.
        requests: what `POST /requests` takes, one or more; an `Upload` in place of each file.
        folder: where results are written, each into a folder of its own.
    """

    def __init__(self, client: Client, requests: Sequence[Mapping[str, Any]], folder: Path) -> None:
        self._client, self._requests, self._folder = client, requests, folder
        self._sent: deque[str] = deque()
        self._seeds: dict[str, list[int]] = {}
        self._waiting = deque(requests)
        self._uploaded: dict[Upload, Mapping[str, str]] = {}

    async def cancel(self) -> None:
        """Cancel what isn't finished."""
        self._waiting.clear()
        for id in tuple(self._sent):
            with suppress(ServerError):
                await self._client.cancel(id)

    async def progress(self) -> AsyncIterator[Progress]:
        """Draw, and yield what happens.

        Raises:
            ServerError: if a request is refused or fails; what comes after it is cancelled.
            CancelledOrderError: if it is cancelled.
        """
        try:
            for place in range(len(self._requests)):
                await self._send()
                if not self._sent:
                    raise CancelledOrderError
                async for one in self._drawn(self._sent[0], place):
                    yield one
                self._sent.popleft()
        finally:
            await self.cancel()

    async def _send(self) -> None:
        while self._waiting and len(self._sent) < _AHEAD:
            try:
                given = await self._with_uploads(self._waiting[0])
                if not self._waiting:
                    return  # It was cancelled in the meantime.
                state = await self._client.submit(given)
            except ServerError as error:
                if self._sent and error.status == 429:
                    return  # The queue is full; the next one is sent later.
                raise
            self._sent.append(state["id"])
            self._seeds[state["id"]] = [one["seed"] for one in state["images"]]
            if self._waiting:
                self._waiting.popleft()
            else:  # It was cancelled in the meantime.
                await self.cancel()

    async def _with_uploads(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Upload the files of a request that the server doesn't have yet."""
        found = dict(request)
        for name, one in request.items():
            if isinstance(one, Upload):
                if one not in self._uploaded:
                    self._uploaded[one] = await self._client.upload(one.content, one.kind)
                found[name] = self._uploaded[one]
        return found

    async def _drawn(self, id: str, place: int) -> AsyncIterator[Progress]:
        done, images = 0, max(1, int(self._requests[place].get("images", 1)))
        many = len(self._requests) * images
        text, part = "Waiting", place / len(self._requests)
        async for event in self._client.events(id):
            if event["state"] == "failed":
                raise ServerError(plain(event.get("error")))
            if event["state"] == "cancelled":
                raise CancelledOrderError
            image = place * images + event["image"]
            of = f", image {image + 1} of {many}" if many > 1 else ""
            if "result" in event:
                done += 1
                # The server decides what ids are, so they name nothing here.
                folder = Path(tempfile.mkdtemp(dir=self._folder))
                file = await self._client.result(event["result"], folder)
                seed, part = self._seeds[id][event["image"]], (place * images + done) / many
                yield Progress(f"Drawn{of}", part, file=file, place=place, seed=seed)
                continue
            if event["step"]:
                text = f"Step {event['step']} of {event['steps']}{of}"
                part = max(part, (image + event["step"] / event["steps"]) / many)
            elif event["state"] == "queued" and event.get("position"):
                text = f"Waiting; {event['position']} before this"
            elif event["state"] == "drawing" and "preview" not in event and not done:
                text = "Loading the model"
            yield Progress(text, part, preview=event.get("preview"))
