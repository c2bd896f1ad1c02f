"""The server as an application."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from autopipe_serve.app import Closing


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/sdapi/v1/nothing", 404),
        ("PUT", "/requests", 405),
        ("OPTIONS", "/requests", 405),
        ("TRACE", "/health", 405),
        ("GET", "/requests/x/results/abc", 422),
    ],
)
def test_errors_of_the_framework_have_the_shape_of_the_api(
    client: Callable, method: str, path: str, status: int
) -> None:
    with client() as one:
        answered = one.request(method, path)
    assert answered.status_code == status
    found = answered.json()
    if path.startswith("/v1"):
        assert set(found["error"]) == {"message", "type", "param", "code"}
    elif path.startswith("/sdapi"):
        assert set(found) == {"error", "detail", "body", "errors"}
    else:
        assert set(found["error"]) == {"message", "type"}


def test_the_description_of_the_api_needs_no_network(client: Callable) -> None:
    with client() as one:
        found = one.get("/openapi.json").json()
    assert {"/tasks", "/requests", "/uploads", "/settings", "/health"} <= set(found["paths"])


def test_the_studio_is_closed_with_the_server(client: Callable, studio) -> None:
    with client() as one:
        assert one.get("/ready").status_code == 200
        assert studio.closed == []
    assert studio.closed == [30]


def test_a_server_that_ends_is_not_ready_but_lives(client: Callable, studio) -> None:
    with client() as one:
        one.app.state.closing.begin()
        answered = one.get("/ready")
        assert (answered.status_code, answered.headers["retry-after"]) == (503, "2")
        assert one.get("/health").status_code == 200
    assert studio.closed == [30]


def test_a_studio_is_closed_once_and_everyone_waits_for_it() -> None:
    go, closed = threading.Event(), []

    class Slow:
        def close(self, seconds: float) -> None:
            go.wait(10)
            closed.append(seconds)

    closing = Closing(Slow(), 3)  # type: ignore[arg-type]
    assert not closing.begun
    closing.begin()
    closing.begin()
    assert closing.begun
    assert closed == []
    go.set()
    closing.wait()
    assert closed == [3]
