"""What is checked of every request before its body is read, as ASGI middlewares."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autopipe.json_files import check_parts
from autopipe.wording import shown

from .errors import Refusal

OPEN = ("/health", "/ready")
"""The paths that load balancers ask for, by any name and without a key; they reveal nothing."""

FIRST_SECONDS = 30.0
"""The time that the body of a request may take, in addition to that by `SLOWEST`."""

SLOWEST = 1 << 14
"""The slowest rate at which a body may arrive, in bytes per second."""

DRAINING_SECONDS = 2.0
"""The time for which the body of a refused request is read, to be ignored."""

JSON, FORM = "application/json", "multipart/form-data"
_SAFE = ("GET", "HEAD", "OPTIONS")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="autopipe", Basic realm="autopipe"'}


def owner_of(request: Request) -> str:
    """Return who sent a request, for `Studio.submit`: a hash of its key, empty without keys."""
    return str(getattr(request.state, "owner", ""))


class Hosts:
    """Refuses requests for other hosts (421), and those that pages of other sites send (403).

    A page of any site can make the name of its own host mean 127.0.0.1, and a browser then takes
    this server for a part of that site. So `Host` must be `localhost`, an address of the loopback,
    the address at which the request arrived, or a name that the operator allows.

    Args:
        app: the application.
        names: the names that are allowed in addition.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app, self._names = app, frozenset(map(_plain, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            headers = Headers(scope=scope)
            self._check_host(headers.getlist("host"), scope)
            if scope["method"] not in _SAFE:
                self._check_origin(headers)
        await self.app(scope, receive, send)

    def _check_host(self, given: Sequence[str], scope: Scope) -> None:
        if len(given) != 1:
            raise Refusal(400, f"a request has one Host header, and this one has {len(given)}")
        name = _name_in(given[0])
        here = (scope.get("server") or ("",))[0]
        if not (_is_loopback(name) or name in self._names or (_is_address(name) and name == here)):
            raise Refusal(
                421,
                f"this server doesn't answer for the host {shown(given[0])}; its operator allows "
                f"names by --host-name",
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        else:
            parts = urlsplit(origin) if origin.isascii() else urlsplit("")
            same = parts.netloc.lower() == headers["host"].lower() != ""
            foreign = not same and _name_in(parts.netloc) not in self._names
        if foreign:
            raise Refusal(
                403, f"pages of other sites can't use this server: {shown(origin or 'cross-site')}"
            )


class Keys:
    """Refuses requests without one of the keys (401); without keys, credentials are ignored.

    A key is sent as `Authorization: Bearer KEY`, or as the password of HTTP's Basic scheme.

    Args:
        app: the application.
        keys: the keys.
    """

    def __init__(self, app: ASGIApp, keys: Collection[str] = ()) -> None:
        self.app, self._hashes = app, tuple(map(_hash, keys))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._hashes and scope["path"] not in OPEN:
            given = _hash(_key_in(Headers(scope=scope).get("authorization", "")))
            # All are compared, so that the time says nothing.
            if sum(hmac.compare_digest(given, one) for one in self._hashes) == 0:
                raise Refusal(
                    401,
                    "this server needs a key, and this request has none that is valid; send "
                    "Authorization: Bearer KEY",
                    headers=_CHALLENGE,
                )
            scope.setdefault("state", {})["owner"] = given[:16].hex()
        await self.app(scope, receive, send)


class Bodies:
    """Limits the bodies of requests: their type (415), their size (413) and their time (408).

    JSON is read at once, so that one of millions of parts, which would take far more memory, is
    refused (400); forms are counted while they are read.

    Args:
        app: the application.
        most: the most bytes.
        forms: the paths that take forms with files; all others only take JSON.
        seconds: as for `FIRST_SECONDS`.
    """

    def __init__(
        self,
        app: ASGIApp,
        most: int,
        forms: Collection[str] = (),
        seconds: float = FIRST_SECONDS,
    ) -> None:
        self.app, self._most, self._forms = app, most, frozenset(forms)
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kind = self._check_head(scope)
            receive = _Counted(receive, self._most, self._seconds)
            if kind == JSON:
                receive = await _json(receive)
        await self.app(scope, receive, send)

    def _check_head(self, scope: Scope) -> str:
        """Return the type of the body, empty without one."""
        headers = Headers(scope=scope)
        text = headers.get("content-length", "")
        length = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if text and length < 0:
            raise Refusal(400, f"Content-Length is a number of bytes, not {shown(text)}")
        if length > self._most:
            raise _too_large(self._most)
        if length <= 0 and "transfer-encoding" not in headers:
            return ""
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "compressed bodies are not taken; send the body as it is")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        forms = scope["path"].rstrip("/") in self._forms
        if scope["method"] not in _SAFE and kind != JSON and not (forms and kind == FORM):
            also = f", or {FORM}" if forms else ""
            raise Refusal(415, f"the body must be {JSON}{also}, not {shown(kind or 'untyped')}")
        return kind


class _Counted:
    """Counts the bytes of a body, and the time that they take."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._count, self._start, self._done = 0, time.monotonic(), False

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        end = self._start + self._seconds + self._count / SLOWEST
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, end - time.monotonic()))
        except asyncio.TimeoutError:
            self._done = True
            raise Refusal(
                408, "the body of the request takes too long", headers={"Connection": "close"}
            ) from None
        self._count += len(message.get("body", b""))
        self._done = not message.get("more_body", False)
        if self._count > self._most:
            self._done = True
            raise _too_large(self._most)
        return message


class Unread:
    """Passes the messages of a body on, and can read what nobody wants.

    A connection that is closed while its client still sends is reset, and many clients then don't
    read the answer that says why.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._done = receive, False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._done = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read the rest, as far as it arrives soon."""
        end = time.monotonic() + DRAINING_SECONDS
        with suppress(asyncio.TimeoutError):
            while not self._done and (left := end - time.monotonic()) > 0:
                await asyncio.wait_for(self(), left)


async def _json(receive: Receive) -> Receive:
    """Read a body, check its number of parts, and return a function that gives it again."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return _first(message, receive)
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    body = b"".join(parts)
    try:
        check_parts(body)
    except ValueError as error:
        raise Refusal(400, f"the body is not taken, because {error}") from None
    return _first({"type": "http.request", "body": body, "more_body": False}, receive)


def _first(message: Message, receive: Receive) -> Receive:
    """Return a function that gives `message` once, and then what `receive` gives."""
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _too_large(most: int) -> Refusal:
    return Refusal(
        413, f"the body of a request has at most {most:,} bytes", headers={"Connection": "close"}
    )


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _key_in(authorization: str) -> str:
    """Return the key that a header has, or an empty text."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _plain(name: str) -> str:
    return name.strip().lower().rstrip(".").strip("[]")


def _name_in(host: str) -> str:
    """Return the name or address in a `Host` header, without its port."""
    if host.startswith("["):
        name, end, _ = host[1:].partition("]")
        return _plain(name) if end else ""
    return _plain(host.rpartition(":")[0] if host.count(":") == 1 else host)


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
