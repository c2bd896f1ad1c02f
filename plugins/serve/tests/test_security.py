"""What is checked before a body is read."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest

from autopipe_serve.errors import Refusal
from autopipe_serve.security import Bodies, Hosts, Keys

KEY, OTHER = "k" * 20, "o" * 20


def run(app: Any, messages: list[dict], path: str = "/requests", **scope: Any) -> list[bytes]:
    """Send a request through a middleware; return what reaches the application."""
    headers = [(k.encode(), v.encode()) for k, v in scope.pop("headers", {}).items()]
    whole = {"type": "http", "method": "POST", "path": path, "headers": headers, **scope}
    waiting = list(messages)

    async def receive() -> dict:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    found: list[bytes] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            found.append(message.get("body", b""))
            if not message.get("more_body"):
                return

    asyncio.run(app(application)(whole, receive, None))
    return found


def body(*parts: bytes) -> list[dict]:
    last = len(parts) - 1
    return [
        {"type": "http.request", "body": one, "more_body": i < last} for i, one in enumerate(parts)
    ]


JSON = {"content-type": "application/json; charset=utf-8"}


def limited(most: int = 100, **how: Any) -> Callable[[Any], Bodies]:
    return lambda app: Bodies(app, most, forms=("/uploads",), **how)


# Hosts


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.9.9.9:1", "[::1]:8000", "localhost.",
     "pictures.example:443", "PICTURES.example"],
)  # fmt: skip
def test_hosts_that_are_served(client: Callable, host: str) -> None:
    with client(hosts=("Pictures.Example",)) as one:
        assert one.get("/requests/x", headers={"Host": host}).status_code == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "8.8.8.8", "", "[::1",
     "127.0.0.1@evil.example", "evil.example:127.0.0.1", "2130706433"],
)  # fmt: skip
def test_hosts_that_are_not(client: Callable, host: str) -> None:
    with client() as one:
        answered = one.get("/requests/x", headers={"Host": host})
        assert answered.status_code == 421
        assert answered.json()["error"]["type"] == "wrong_host"
        assert one.get("/health", headers={"Host": host}).status_code == 200


def test_the_address_at_which_a_request_arrives_is_served() -> None:
    def sent(host: str) -> None:
        headers = {"host": host, **JSON}
        run(lambda app: Hosts(app), body(b""), headers=headers, server=("10.1.2.3", 80))

    sent("10.1.2.3:80")
    with pytest.raises(Refusal, match=r"10\.9\.9\.9"):
        sent("10.9.9.9:80")


@pytest.mark.parametrize("count", [0, 2])
def test_a_request_has_one_host(count: int) -> None:
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"host", b"a")] * count}
    with pytest.raises(Refusal, match="one Host header"):
        asyncio.run(Hosts(None)(scope, None, None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Origin": "http://localhost"}, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "none"}, 202),
        ({"Origin": "https://pictures.example"}, 202),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "file://"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(
    client: Callable, headers: dict[str, str], status: int
) -> None:
    with client(hosts=("pictures.example",)) as one:
        assert one.post("/requests", json={"prompt": "x"}, headers=headers).status_code == status
        if status == 403:
            id = one.post("/requests", json={"prompt": "x"}).json()["id"]
            assert one.delete(f"/requests/{id}", headers=headers).status_code == 403


def test_no_answer_lets_other_sites_read_it(client: Callable) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    with client() as one:
        for method in "OPTIONS", "GET":
            answered = one.request(method, "/requests/x", headers=headers)
            assert not [name for name in answered.headers if name.startswith("access-control")]
            assert answered.headers["x-content-type-options"] == "nosniff"


# Keys


def basic(password: str, user: str = "user") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {KEY}", 404),
        (f"bearer  {OTHER}", 404),
        (basic(KEY), 404),
        (basic(OTHER, ""), 404),
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {KEY}x", 401),
        (f"Bearer {KEY[:-1]}", 401),
        (KEY, 401),
        (basic("undefined"), 401),
        (basic("", KEY), 401),
        ("Basic ???", 401),
        ("Basic /w==", 401),
        ("Negotiate abc", 401),
    ],
)
def test_keys(client: Callable, authorization: str, status: int) -> None:
    with client(keys=(KEY, OTHER)) as one:
        headers = {"Authorization": authorization} if authorization else {}
        answered = one.get("/requests/x", headers=headers)
        assert answered.status_code == status
        assert ("www-authenticate" in answered.headers) == (status == 401)


def test_without_keys_credentials_are_ignored(client: Callable) -> None:
    with client() as one:
        for text in basic(""), basic("undefined"), "Bearer x", "nonsense":
            answered = one.get("/requests/x", headers={"Authorization": text})
            assert answered.status_code == 404


def test_a_key_is_asked_for_in_the_shape_of_the_api(client: Callable) -> None:
    with client(keys=(KEY,)) as one:
        assert one.get("/v1/models").json()["error"]["code"] == "invalid_api_key"
        assert one.get("/sdapi/v1/options").json()["error"] == "unauthorized"
        assert one.get("/metrics").status_code == 401
        assert one.get("/health").status_code == one.get("/ready").status_code == 200


def test_a_key_is_checked_before_the_body_is_read() -> None:
    def both(app: Any) -> Keys:
        return Keys(Bodies(app, 100), keys=(KEY,))

    with pytest.raises(Refusal) as caught:
        run(both, [{"type": "nothing may be received"}], headers={"content-length": "5", **JSON})
    assert caught.value.status == 401


# Bodies


@pytest.mark.parametrize("text", ["-1", "1e3", "0x10", "9" * 30, "½", " ", "+5"])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(Refusal, match="Content-Length") as caught:
        run(limited(), body(b"{}"), headers={"content-length": text, **JSON})
    assert caught.value.status == 400


def test_a_length_is_checked_before_the_body_is_read() -> None:
    for path, kind in ("/requests", JSON), ("/uploads", {"content-type": "multipart/form-data"}):
        headers = {"content-length": "101", **kind}
        with pytest.raises(Refusal, match="at most 100 bytes") as caught:
            run(limited(), [{"type": "nothing may be received"}], path, headers=headers)
        assert caught.value.status == 413


@pytest.mark.parametrize("path", ["/requests", "/uploads"])
def test_bytes_are_counted_while_they_arrive(path: str) -> None:
    kind = {"content-type": "multipart/form-data"} if path == "/uploads" else JSON
    headers = {"transfer-encoding": "chunked", **kind}
    assert b"".join(run(limited(), body(b"[", b"1", b"]"), path, headers=headers)) == b"[1]"
    with pytest.raises(Refusal) as caught:
        run(limited(), body(*[b"x" * 40] * 4), path, headers=headers)
    assert caught.value.status == 413


@pytest.mark.parametrize("parts", [[b""], [b'{"a"', b": 1}"]])
def test_json_reaches_the_application_in_one_piece(parts: list[bytes]) -> None:
    headers = {"transfer-encoding": "chunked", **JSON}
    assert run(limited(), body(*parts), headers=headers) == [b"".join(parts)]


def test_json_of_very_many_parts_is_refused() -> None:
    content = b"[" + b"[],[],[],[]," * 200_000 + b"1]"
    with pytest.raises(Refusal, match="entries") as caught:
        run(limited(1 << 24), body(content), headers={"transfer-encoding": "chunked", **JSON})
    assert caught.value.status == 400


def test_a_body_that_takes_too_long_is_refused() -> None:
    slow = [{"type": "http.request", "body": b"{", "more_body": True}]
    with pytest.raises(Refusal, match="too long") as caught:
        run(limited(seconds=0.1), slow, headers={"content-length": "5", **JSON})
    assert caught.value.status == 408


@pytest.mark.parametrize(
    ("kind", "path", "taken"),
    [
        ("application/json", "/requests", True),
        ("Application/JSON;charset=utf-8", "/requests", True),
        ("multipart/form-data; boundary=x", "/uploads", True),
        ("multipart/form-data; boundary=x", "/requests", False),
        ("text/plain", "/requests", False),
        ("application/x-www-form-urlencoded", "/uploads", False),
        ("", "/requests", False),
    ],
)
def test_types_of_bodies(kind: str, path: str, taken: bool) -> None:
    headers = {"content-length": "2", "content-type": kind}
    if taken:
        assert run(limited(), body(b"{}"), path, headers=headers) == [b"{}"]
        return
    with pytest.raises(Refusal, match="application/json") as caught:
        run(limited(), body(b"{}"), path, headers=headers)
    assert caught.value.status == 415


def test_a_request_without_a_body_needs_no_type() -> None:
    assert run(limited(), body(b""), headers={"content-length": "0"}) == [b""]
    assert run(limited(), body(b"")) == [b""]


def test_compressed_bodies_are_refused() -> None:
    headers = {"content-length": "2", "content-encoding": "gzip", **JSON}
    with pytest.raises(Refusal, match="compressed"):
        run(limited(), body(b"{}"), headers=headers)
