"""Fetches files from addresses that clients give, and never from a private network.

A name is resolved once; each of its addresses must be public, and the connection is made to one of
them, so that a second answer of the name server can't lead elsewhere. Every redirect is checked in
the same way. Proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

from autopipe.wording import shown

from .errors import Refusal

SECONDS = 20.0
"""The time for fetching one file, with all redirects."""

_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK = 1 << 16
_TRANSLATED = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)
"""IPv6 networks whose addresses stand for IPv4 ones, which can be private."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether an address belongs to a machine on the internet that anyone can reach."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return False
        if address.teredo is not None or any(address in one for one in _TRANSLATED):
            return False
        if address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast
        or address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_reserved
        or address.is_unspecified
    )


def fetch(
    url: str,
    most: int,
    name: str = "image",
    *,
    seconds: float = SECONDS,
    allowed: Callable[[Address], bool] = is_public,
) -> bytes:
    """Return the content at an `http` or `https` address. It blocks.

    Args:
        most: the most bytes.
        name: the field that the client gave it in, for messages.
        seconds: the time for everything.
        allowed: whether an address may be connected to.

    Raises:
        Refusal: if it can't be fetched, is not allowed (400), or is too large (413).
    """
    end = time.monotonic() + seconds
    for _ in range(_MOST_REDIRECTS + 1):
        content, target = _get(url, most, name, end, allowed)
        if content is not None:
            return content
        url = urljoin(url, target)
    raise _failed(url, name, f"it redirects more than {_MOST_REDIRECTS} times")


def _get(
    url: str, most: int, name: str, end: float, allowed: Callable[[Address], bool]
) -> tuple[bytes | None, str]:
    """Return the content, or None and where the address redirects to."""
    parts, host, port = _split(url, name)
    address = _resolved(host, port, url, name, allowed)
    connection = _Connection(parts.scheme == "https", host, port, str(address), end)
    # A server that sends a byte now and then would keep every single read alive.
    timer = threading.Timer(max(0.0, end - time.monotonic()), connection.stop)
    timer.daemon = True
    timer.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "image/*", "Connection": "close"})
        reply = connection.getresponse()
        if reply.status in _REDIRECTS:
            return None, reply.headers.get("Location", "")
        if reply.status != 200:
            raise _failed(url, name, f"its server answers with the status {reply.status}")
        content = _read(reply, most, name)
        if time.monotonic() >= end:  # What was stopped can look complete.
            raise TimeoutError
        return content, ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Of a TLS connection that was stopped, reading raises a ValueError.
        late = time.monotonic() >= end
        why = "it takes too long" if late else "the connection failed"
        raise _failed(url, name, why) from error
    finally:
        timer.cancel()
        connection.close()


def _read(reply: http.client.HTTPResponse, most: int, name: str) -> bytes:
    found = bytearray()
    while block := reply.read(_BLOCK):
        found += block
        if len(found) > most:
            raise Refusal(
                413, f"what {name} is the address of has more than {most:,} bytes; give a smaller "
                f"file", param=name,
            )  # fmt: skip
    if reply.length:  # Without an error, the connection ended before all was read.
        raise http.client.IncompleteRead(bytes(found))
    return bytes(found)


def _split(url: str, name: str) -> tuple[SplitResult, str, int]:
    """Return the parts, the host and the port of an address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        fits = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc
    except ValueError:
        fits = False
    if not fits or parts.scheme not in ("http", "https") or not host or port == 0:
        raise _failed(url, name, "it is not an http or https address, in ASCII and without a user")
    return parts, host, port or (443 if parts.scheme == "https" else 80)


def _resolved(
    host: str, port: int, url: str, name: str, allowed: Callable[[Address], bool]
) -> Address:
    """Return an address of a host, after checking all of them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError, UnicodeError):
        addresses = []
    if not addresses:
        raise _failed(url, name, "there is no such host")
    if not all(map(allowed, addresses)):
        raise _failed(url, name, "its host is not on the public internet")
    return addresses[0]


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked."""

    def __init__(self, secure: bool, host: str, port: int, address: str, end: float) -> None:
        super().__init__(host, port)
        self._secure, self._address, self._end = secure, address, end
        self._used: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the address, whatever the name of the host means by now."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock = socket.create_connection((self._address, self.port), left)
        if self._secure:
            self.sock.settimeout(max(0.1, self._end - time.monotonic()))
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        # The base class forgets the socket of a connection that ends with its answer.
        self._used = self.sock

    def stop(self) -> None:
        """End what another thread reads."""
        if self._used is not None:
            with suppress(OSError):
                self._used.shutdown(socket.SHUT_RDWR)


def _failed(url: str, name: str, why: str) -> Refusal:
    return Refusal(
        400, f"{name} can't be fetched from {shown(url)}, because {why}; send the file itself",
        param=name,
    )  # fmt: skip
