"""Fetching what clients name by address."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from autopipe_serve import addresses
from autopipe_serve.addresses import fetch, is_public
from autopipe_serve.errors import Refusal


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/loop":
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:{port}/loop")
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path == "/slow":
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
            return
        content = b"x" * (5000 if self.path == "/large" else 10)
        self.send_header("Content-Length", "99" if self.path == "/short" else str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def anything(address: addresses.Address) -> bool:
    return True


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1",
        "198.18.0.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "fe80::1", "fc00::1",
        "fd12::1", "ff02::1", "fec0::1", "2001:db8::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::8a"])
def test_public_addresses(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://localhost/x", "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://2130706433/", "http://0x7f.1/",
        "http://0177.0.0.1/", "http://0/",
    ],
)  # fmt: skip
def test_private_hosts_in_any_spelling_are_not_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*args: object, **how: object) -> socket.socket:
        raise AssertionError("it was asked")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Refusal, match=r"public internet|no such host") as caught:
        fetch(url, 1000)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x", "file:///etc/passwd", "http://", "http://a:b@example.com/",
        "http://example.com:0/", "http://example.com:99999/", "http://exämple.com/",
        "http://example.com/a b", "http://example.com/\r\nX: y", "http://[::1", "gopher://x/",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Refusal, match="not an http or https address"):
        fetch(url, 1000)


def test_a_name_with_one_private_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", ("8.8.8.8", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **how: answers)
    with pytest.raises(Refusal, match="public internet"):
        fetch("http://example.com/", 1000)


def test_it_connects_to_the_address_that_was_checked(
    web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(web.rpartition(":")[2])
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, *args: object, **how: object) -> object:
        asked.append(host)
        # As a name server would that means another machine the next time.
        first = asked.count("pictures.example") == 1
        text = {"pictures.example": "127.0.0.1" if first else "10.0.0.1"}.get(host, host)
        return real(text, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert fetch(f"http://pictures.example:{port}/x", 1000, allowed=anything) == b"x" * 10
    assert asked.count("pictures.example") == 1


def test_redirects_are_checked_again(web: str) -> None:
    here = ipaddress.ip_address("127.0.0.1")
    assert fetch(f"{web}/to/{web}/x", 1000, allowed=here.__eq__) == b"x" * 10
    for target in "http://127.0.0.2/", "http://169.254.169.254/", "file:///etc/passwd":
        with pytest.raises(Refusal):
            fetch(f"{web}/to/{target}", 1000, allowed=here.__eq__)
    with pytest.raises(Refusal, match="more than 3 times"):
        fetch(f"{web}/loop", 1000, allowed=anything)


def test_size_time_and_completeness_are_limited(web: str) -> None:
    with pytest.raises(Refusal, match="more than 1,000 bytes") as caught:
        fetch(f"{web}/large", 1000, allowed=anything)
    assert caught.value.status == 413
    with pytest.raises(Refusal, match="takes too long"):
        fetch(f"{web}/slow", 1000, seconds=0.4, allowed=anything)
    with pytest.raises(Refusal, match="connection failed"):
        fetch(f"{web}/short", 1000, allowed=anything)
    with pytest.raises(Refusal, match="status 404"):
        fetch(f"{web}/missing", 1000, allowed=anything)
