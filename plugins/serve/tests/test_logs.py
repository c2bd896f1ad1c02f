"""Logs and metrics of requests."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from autopipe_serve.logs import AsJson, logging_to_stderr


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict]]:
    caplog.set_level(logging.INFO, "autopipe_serve")
    return lambda: [json.loads(AsJson().format(one)) for one in caplog.records]


BODY = {"prompt": "a secret", "images": 2}


def test_a_request_is_a_line_without_its_prompt_and_query(
    client: Callable, lines: Callable[[], list[dict]], caplog: pytest.LogCaptureFixture
) -> None:
    with client() as one:
        answered = one.post("/requests?token=hidden", json=BODY)
    (line,) = lines()
    assert line["request"] == answered.headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/requests", 202)
    assert (line["ticket"], line["model"], line["images"]) == (answered.json()["id"], "painter", 2)
    assert line["level"] == "info"
    assert "secret" not in caplog.text
    assert "hidden" not in caplog.text


def test_prompts_are_logged_if_the_operator_wants_it(
    client: Callable, lines: Callable[[], list[dict]]
) -> None:
    with client(log_prompts=True) as one:
        one.post("/requests", json=BODY)
    assert lines()[0]["prompt"] == "a secret"


def test_a_clients_id_is_taken_if_it_is_safe(client: Callable) -> None:
    with client() as one:
        given = one.get("/health", headers={"X-Request-ID": "abc-1"})
        assert given.headers["x-request-id"] == "abc-1"
        for bad in "a b", "x" * 100, 'a"b':
            answered = one.get("/health", headers={"X-Request-ID": bad})
            assert len(answered.headers["x-request-id"]) == 32


def test_a_failure_is_told_where_it_happened_and_not_what_it_says(
    client: Callable, studio, lines: Callable[[], list[dict]], caplog: pytest.LogCaptureFixture
) -> None:
    studio.refusal = KeyError("a secret")
    with client() as one:
        answered = one.post("/requests", json=BODY)
    assert answered.status_code == 500
    assert answered.json()["error"]["type"] == "failed"
    failed = next(line for line in lines() if line["level"] == "error")
    assert failed["error"] == "KeyError"
    assert failed["request"] == answered.headers["x-request-id"]
    assert "submit" in failed["at"]
    assert "secret" not in caplog.text


def test_lines_of_logs_stay_lines() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "a\nb", (), None)
    assert "\n" not in AsJson().format(record)


def test_pipelines_and_the_server_log_to_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger("autopipe")
    before = root.handlers
    with logging_to_stderr(as_json=True):
        logging.getLogger("autopipe.pipeline").warning("careful")
    assert json.loads(capsys.readouterr().err)["message"] == "careful"
    assert root.handlers is before


def test_metrics_count_answers_by_route_and_what_the_studio_knows(client: Callable) -> None:
    with client() as one:
        one.get("/requests/abc")
        one.get("/requests/def")
        one.get("/made/up/1")
        one.request("BREW", "/made/up/2")
        text = one.get("/metrics").text
    by_route = 'autopipe_answers_total{method="GET",route="/requests/{id}",status="404"} 2.0'
    assert by_route in text
    assert "made" not in text
    assert "BREW" not in text
    assert 'autopipe_tickets{state="queued"} 1.0' in text
    assert 'autopipe_tickets_over_total{state="failed"} 4.0' in text
    assert 'autopipe_weights_bytes{model="painter"} 1000.0' in text
