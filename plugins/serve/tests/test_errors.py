"""Errors as answers."""

from __future__ import annotations

import json

import pytest

from autopipe.errors import (
    ArgumentError,
    CheckpointError,
    ImageFileError,
    UnsupportedCheckpointError,
)
from autopipe_serve.errors import Refusal, answer, check_drawn, failure_of, shape_of
from autopipe_serve.studio import BusyError, LimitError, StoppingError, Ticket


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ArgumentError("no"), 400, "invalid_request"),
        (ImageFileError("no"), 400, "invalid_request"),
        (UnsupportedCheckpointError("no"), 400, "invalid_request"),
        (LimitError("no"), 400, "invalid_request"),
        (BusyError("no", 3), 429, "busy"),
        (CheckpointError("no"), 500, "failed"),
        (Refusal(413, "no"), 413, "too_large"),
        (Refusal(404, "no"), 404, "not_found"),
    ],
)
def test_what_is_wrong_with_the_request_is_its_senders(
    error: Exception, status: int, kind: str
) -> None:
    failure = failure_of(error)
    assert (failure.status, failure.kind, failure.message) == (status, kind, "no")


def test_errors_of_python_are_not_told() -> None:
    failure = failure_of(KeyError("/private/secret"))
    assert failure.status == 500
    assert "secret" not in failure.message
    assert "KeyError" not in failure.message


def test_a_full_queue_says_when_to_come_again() -> None:
    assert answer(failure_of(BusyError("full", 12)), "/v1/x").headers["retry-after"] == "12"
    assert answer(failure_of(BusyError("full", 0)), "/v1/x").headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/requests", {"error": {"type": "stopping"}}),
        ("/v1/images/generations", {"error": {"type": "server_error", "code": "stopping"}}),
        ("/sdapi/v1/txt2img", {"error": "stopping"}),
    ],
)
def test_a_server_that_stops_sends_clients_to_another_one(path: str, shape: dict) -> None:
    answered = answer(failure_of(StoppingError()), path)
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "2")
    assert "x-should-retry" not in answered.headers
    found, text = json.loads(bytes(answered.body)), "the server is being stopped"
    inner, wanted = (found["error"], shape["error"]) if "/sd" not in path else (found, shape)
    assert inner.items() >= wanted.items()
    assert inner.get("message", inner.get("detail")).startswith(text)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/requests", {"error": {"message": "no", "type": "not_found"}}),
        ("/v1x", {"error": {"message": "no", "type": "not_found"}}),
        (
            "/v1/models/x",
            {
                "error": {
                    "message": "no",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                }
            },
        ),
        (
            "/sdapi/v1/options",
            {"error": "not_found", "detail": "no", "body": "", "errors": "no"},
        ),
    ],
)
def test_each_api_has_its_shape(path: str, expected: dict) -> None:
    answered = answer(failure_of(Refusal(404, "no", param="model")), path)
    assert json.loads(bytes(answered.body)) == expected
    assert dict(shape_of(path)(failure_of(Refusal(404, "no", param="model")))) == expected


@pytest.mark.parametrize(
    ("status", "again"), [(400, True), (409, False), (408, False), (500, False), (503, True)]
)
def test_clients_that_repeat_by_themselves_are_told_not_to(status: int, again: bool) -> None:
    headers = answer(failure_of(Refusal(status, "no")), "/v1/images/generations").headers
    assert ("x-should-retry" in headers) is not again


def test_what_happened_to_a_ticket() -> None:
    check_drawn(Ticket("0" * 32, "", (), state="done"))
    with pytest.raises(Refusal) as caught:
        check_drawn(Ticket("0" * 32, "", (), state="cancelled"))
    assert caught.value.status == 409
    with pytest.raises(Refusal, match="no memory") as caught:
        check_drawn(Ticket("0" * 32, "", (), state="failed", error="no memory"))
    assert caught.value.status == 500
    with pytest.raises(StoppingError):
        check_drawn(Ticket("0" * 32, "", (), state="cancelled", failure=StoppingError))
    wrong = Ticket("0" * 32, "", (), state="failed", error="no", failure=ArgumentError)
    with pytest.raises(Refusal) as caught:
        check_drawn(wrong)
    assert caught.value.status == 400


def test_messages_are_safe() -> None:
    assert "\x1b" not in failure_of(Refusal(400, "a\x1b[31m")).message
