"""The client of a server of autopipe, by the API of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from autopipe.errors import ArgumentError
from autopipe.wording import clean, cut, shown

MOST_RESULT = 1 << 31
"""The most bytes of a result."""

_LONGEST_ERROR = 1000
_LONGEST_NAME = 100
_INSTALLED = frozenset(
    ("tasks", "models", "loras", "addons", "conditions", "schedulers", "limits")
)  # fmt: skip
_SECONDS = httpx.Timeout(60, connect=10, pool=None)


class ServerError(Exception):
    """A server refused a request, failed, or can't be reached; the text is for users.

    Attributes:
        status: the status of its answer, or 0.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """A file of a request.

    Attributes:
        content: its bytes.
        kind: such as `image`.
    """

    content: bytes
    kind: str


class Client:
    """Asks a server. Its coroutines run in one event loop.

    Args:
        address: the address of the server, such as `http://127.0.0.1:8000`.
        key: the API key, if it wants one.

    Raises:
        ArgumentError: if the address is not valid.
    """

    def __init__(self, address: str, key: str | None = None) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            url = httpx.URL(address.rstrip("/"))
        except (httpx.InvalidURL, TypeError, UnicodeError):  # The last for half a surrogate pair.
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise ArgumentError(
                f"{shown(address)} is not the address of a server; give one such as "
                f"http://127.0.0.1:8000"
            )
        self.address = str(url)
        # Proxies of the environment are for the world outside.
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=_SECONDS, trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def installed(self) -> dict[str, Any]:
        """Return the tasks, models, adapters, add-ons, conditions, schedulers and limits."""
        found = await self._object("GET", "/tasks")
        if not found.keys() >= _INSTALLED:
            raise _foreign("/tasks")
        return found

    async def task(self, name: str, model: str | None) -> dict[str, Any]:
        """Return a task with the JSON schema of its requests to a model."""
        params = {} if model is None else {"model": model}
        return await self._object("GET", f"/tasks/{name}", params=params)

    async def submit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Queue a request, and return its state."""
        return await self._object("POST", "/requests", json=given)

    async def cancel(self, id: str) -> None:
        """Cancel a request."""
        await self._object("DELETE", f"/requests/{quote(id, safe='')}")

    async def upload(self, content: bytes, kind: str = "image") -> dict[str, str]:
        """Upload a file of a kind such as `image`, and return how requests name it."""
        found = await self._object(
            "POST", "/uploads", params={"kind": kind}, files={"file": ("file", content)}
        )
        return {"upload": found["id"]}

    async def settings(self, file: Path) -> dict[str, Any]:
        """Return the settings in a picture, as a request takes them, under `given`."""
        return await self._object(
            "POST", "/settings", files={"file": (file.name, file.read_bytes())}
        )

    async def events(self, id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens to a request until it is over, and go on after a lost connection."""
        last, failures = "0", 0
        while failures < 3:
            state = None
            try:
                headers = {"Last-Event-ID": last}
                async with self._http.stream(
                    "GET", f"/requests/{quote(id, safe='')}/events", headers=headers
                ) as answer:
                    await _check(answer)
                    async for line in answer.aiter_lines():
                        if line.startswith("id: "):
                            last, failures = line[4:], 0
                        elif line.startswith("data: "):
                            event = json.loads(line[6:])
                            state = event["state"]
                            yield event
            except httpx.TransportError:
                pass
            except (ValueError, KeyError, TypeError):
                raise _foreign(f"/requests/{id}/events") from None
            if state in ("done", "failed", "cancelled"):
                return
            failures += 1
        raise ServerError("the connection to the server was lost; is it still running?")

    async def result(self, path: str, folder: Path) -> Path:
        """Write a result into a new file in a folder, byte by byte as the server wrote it.

        Args:
            path: where the result is on the server.
            folder: where it is written, by its name there.
        """
        if urlsplit(path).netloc or not path.startswith("/"):
            raise _foreign(path)  # The key is for this server alone.
        try:
            async with self._http.stream("GET", path) as answer:
                await _check(answer)
                disposition = answer.headers.get("content-disposition", "")
                file = folder / _name_in(disposition)
                size = 0
                with open(file, "wb") as stream:
                    async for part in answer.aiter_bytes():
                        size += len(part)
                        if size > MOST_RESULT:
                            raise ServerError(f"the result has more than {MOST_RESULT:,} bytes")
                        stream.write(part)
        except httpx.HTTPError as error:
            raise _lost(error) from None
        return file

    async def _object(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, **how)
            await _check(answer)
            found: dict[str, Any] = answer.json()
        except httpx.HTTPError as error:
            raise _lost(error) from None
        except ValueError:
            raise _foreign(path) from None
        if not isinstance(found, dict):
            raise _foreign(path)
        return found


async def _check(answer: httpx.Response) -> None:
    """Raise what an answer that is an error says."""
    if answer.is_success:
        return
    try:
        message = json.loads(await answer.aread())["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"the server answered with status {answer.status_code}"
    raise ServerError(plain(message), answer.status_code)


def plain(message: Any) -> str:
    """Return what a server says as one line of a length that a page has room for."""
    return cut(clean(str(message), keep=""), _LONGEST_ERROR)


def _name_in(disposition: str) -> str:
    """Return the name of a file in a header, without any folder."""
    name = disposition.rpartition('filename="')[2].rstrip('"').replace("\\", "/")
    name = clean(name.rpartition("/")[2], keep="")[-_LONGEST_NAME:]
    return name if name.strip(". ") else "result"


def _foreign(path: str) -> ServerError:
    return ServerError(f"what answers at {shown(path)} is not a server of autopipe")


def _lost(error: httpx.HTTPError) -> ServerError:
    about = (
        "doesn't answer in time" if isinstance(error, httpx.TimeoutException) else "is not there"
    )
    return ServerError(f"the server {about} ({type(error).__name__}); is it still running?")
