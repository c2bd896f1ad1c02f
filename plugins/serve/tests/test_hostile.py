"""Clients that mean harm get an answer with a reason, and the server goes on."""

from __future__ import annotations

import json
import socket
import struct
import zlib
from collections.abc import Callable

import httpx
import pytest

JSON = b"Content-Type: application/json\r\n"


def sent(port: int, content: bytes, host: bytes = b"localhost") -> tuple[int, dict]:
    """Send bytes as they are; return the status and the JSON of the answer."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(content.replace(b"HOST", b"Host: " + host + b"\r\nConnection: close\r\n", 1))
        answer = b""
        while block := sock.recv(1 << 16):
            answer += block
    head, _, body = answer.partition(b"\r\n\r\n")
    is_json = b"application/json" in head.lower()
    return int(head.split()[1]), json.loads(body) if is_json and body else {}


@pytest.fixture
def base(port: int):
    """The address of a server, which must still draw after the test."""
    url = f"http://127.0.0.1:{port}"
    yield url
    assert httpx.post(f"{url}/requests", json={"prompt": "x"}).status_code == 202


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: -1\r\n" + JSON, 400),
        (b"Content-Length: ten\r\n" + JSON, 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n" + JSON, 400),
        (b"Content-Length: 99999999999999999999999\r\n" + JSON, 400),
        (b"Content-Length: 9999999999\r\n" + JSON, 413),
        (b"Content-Length: 1048577\r\n" + JSON, 413),
        (b"Content-Length: 5\r\n", 415),
        (b"Content-Length: 5\r\nContent-Type: text/plain\r\n", 415),
        (b"Content-Length: 5\r\nContent-Type: multipart/form-data; boundary=x\r\n", 415),
        (JSON, 400),
        (b"Transfer-Encoding: gzip\r\n" + JSON, 400),
        (b"Bad Header\r\n", 400),
        (b"X: " + b"y" * 100_000 + b"\r\n", 400),
    ],
)
def test_heads(base: str, port: int, head: bytes, status: int) -> None:
    assert sent(port, b"POST /requests HTTP/1.1\r\nHOST" + head + b"\r\n")[0] == status


@pytest.mark.parametrize("path", [b"/requests", b"/uploads"])
def test_chunks_without_end(base: str, port: int, path: bytes) -> None:
    kind = JSON if path == b"/requests" else b"Content-Type: multipart/form-data; boundary=x\r\n"
    # A client that is cut off while it sends would not read the answer.
    start = b"--x\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n"
    chunk = b"%x\r\n%s\r\n"
    body = chunk % (len(start), start) + chunk % (1 << 18, bytes(1 << 18)) * 6
    head = b"POST " + path + b" HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n" + kind + b"\r\n"
    status, found = sent(port, head + body + b"0\r\n\r\n")
    assert (status, found["error"]["type"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"prompt": "\xff"}',
        b"[" * 200_000, b'{"a":' * 100_000, b'{"n": ' + b"9" * 5000 + b"}",
        b"[" + b"{}," * 300_000 + b"{}]",
    ],
)  # fmt: skip
def test_bodies_that_are_no_request(base: str, body: bytes) -> None:
    kind = {"Content-Type": "application/json"}
    answered = httpx.post(f"{base}/requests", content=body, headers=kind, timeout=30)
    assert answered.status_code == 400
    assert answered.json()["error"]["type"] == "invalid_request"


@pytest.mark.parametrize(
    "given",
    [
        {"images": 10**9}, {"images": -1}, {"images": True}, {"images": "2"}, {"images": [1]},
        {"image": {"file": "/etc/passwd"}}, {"image": {"file": "../../etc/passwd"}},
        {"image": {"file": "a\0b"}}, {"image": {"file": 1}},
        {"image": {"file": "x", "sha256": "y"}},
        {"image": {"upload": "../../etc/passwd"}}, {"image": {"upload": ["x"]}},
        {"image": {"upload": "0" * 32}}, {"image": "/etc/passwd"}, {"image": "~/.ssh/id_rsa"},
        {"image": "http://127.0.0.1/"}, {"image": "http://169.254.169.254/latest"},
        {"image": "http://[::ffff:127.0.0.1]/"}, {"image": "file:///etc/passwd"},
        {"mask": {"file": "data:image/png,xx"}}, {"arguments": {"image": "/etc/passwd"}},
        {"arguments": {"anything": {"file": "/etc/passwd"}}}, {"image": [{"file": "/etc/passwd"}]},
    ],
)  # fmt: skip
def test_names_and_numbers(base: str, studio, given: dict) -> None:
    before = len(studio.kept)
    answered = httpx.post(f"{base}/requests", json={"prompt": "x", **given})
    assert answered.status_code in (400, 415), answered.text
    assert "root:" not in answered.text
    assert len(studio.kept) == before


@pytest.mark.parametrize(
    "path",
    [
        "/requests/..%2f..%2fetc%2fpasswd", "/requests/%00", "/requests/x/results/-1",
        "/requests/x/results/99999999999999999999", "/tasks/..%2f..", "/tasks/%00",
        "/%2e%2e/%2e%2e/etc/passwd", "/requests/" + "x" * 5000, "/tasks/x?model=%2e%2e%2fx",
        "/requests/x/events?after=-9", "/requests/x/events?after=nine",
    ],
)  # fmt: skip
def test_paths(base: str, path: str) -> None:
    answered = httpx.get(base + path)
    assert answered.status_code in (404, 422)
    assert len(answered.text) < 1000


@pytest.mark.parametrize("host", [b"evil.example", b"localhost.evil.example", b"8.8.8.8", b"a b"])
def test_a_page_that_gave_its_host_our_address(base: str, port: int, host: bytes) -> None:
    status, _ = sent(port, b"GET /tasks HTTP/1.1\r\nHOST\r\n", host)
    assert status == 421
    assert sent(port, b"GET /tasks HTTP/1.1\r\n\r\n")[0] == 400


def test_a_page_of_another_site_sends_a_form(base: str, picture: Callable) -> None:
    files = {"file": ("x.png", picture())}
    for headers in {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}:
        answered = httpx.post(f"{base}/uploads", files=files, headers=headers)
        assert (answered.status_code, answered.json()["error"]["type"]) == (403, "forbidden")
    assert httpx.post(f"{base}/uploads", files=files).status_code == 201


def bomb(side: int) -> bytes:
    """Return a PNG of a few bytes that has very many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    rows = zlib.compress(bytes(min(side // 8 + 1, 10_000) * min(side, 2000)), 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [300, 20_000, 100_000, 2**31 - 1])
def test_images_that_unpack_to_much_more(base: str, side: int) -> None:
    answered = httpx.post(f"{base}/uploads", files={"file": ("small.png", bomb(side))})
    assert (answered.status_code, answered.json()["error"]["type"]) in (
        (413, "too_large"),
        (400, "invalid_request"),
    )


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"<script>", b"RIFF\xff\xff\xff\xffWEBPVP8 "]
)
def test_files_that_are_no_image(base: str, content: bytes) -> None:
    answered = httpx.post(f"{base}/uploads", files={"file": ("../../x\0.png", content)})
    assert answered.status_code in (400, 415)
    assert httpx.post(f"{base}/settings", files={"file": ("x.png", content)}).status_code in (
        400,
        422,
    )


def test_forms_that_are_none(base: str) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in b"--x\r\nnothing", b"", b"--x--", b"--y\r\n\r\n":
        answered = httpx.post(f"{base}/uploads", content=body, headers=kind)
        assert answered.status_code == 400
        assert set(answered.json()["error"]) == {"message", "type"}
    without = {"Content-Type": "multipart/form-data"}
    assert httpx.post(f"{base}/uploads", content=b"x", headers=without).status_code == 400
    many = {"file": [("file", (f"{i}", b"x")) for i in range(5)]}["file"]
    assert httpx.post(f"{base}/uploads", files=many).status_code == 400


def test_clients_that_leave_in_the_middle(base: str, port: int) -> None:
    head = b"POST /requests HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n" + JSON
    for content in b"", b"POST", head, head + b"\r\n{":
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(content)
        assert httpx.get(f"{base}/health").status_code == 200
