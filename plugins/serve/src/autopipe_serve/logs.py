"""Logs: a line for each request, as text or JSON, without prompts unless the operator wants them.

A line has the path without its query, since that may have anything in it, and never a body.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autopipe.errors import AutopipeError
from autopipe.wording import clean, cut, logger

from .errors import answer, failure_of
from .metrics import Metrics
from .names import Names
from .security import Unread

_log = logger("autopipe_serve")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_LONGEST_PROMPT = 500


class Logged:
    """Answers errors, logs and counts requests, and gives each an id and safe headers.

    Args:
        app: the application.
        metrics: what counts.
        names: what clients may name, by which lines name checkpoints.
        log_prompts: whether lines have the prompts of what was drawn.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, names: Names, log_prompts: bool = False
    ) -> None:
        self.app, self._metrics, self._names = app, metrics, names
        self._log_prompts = log_prompts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        start, status, body = time.monotonic(), 0, Unread(receive)
        # Such a client sends nothing before it may.
        waits = "expect" in Headers(scope=scope)

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and not waits:
                    await body.drain()
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = id
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        try:
            await self.app(scope, body, answering)
        except ClientDisconnect:
            pass  # Nobody reads an answer.
        except Exception as error:
            failure = failure_of(error)
            if failure.status == 500:
                _log_failure(id, error)
            if not status:
                await answer(failure, scope["path"])(scope, receive, answering)
        finally:
            seconds = time.monotonic() - start
            self._metrics.count(scope, status, seconds)
            _say(logging.INFO, self._facts(id, scope, status, seconds))

    def _facts(self, id: str, scope: Scope, status: int, seconds: float) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "request": id,
            "method": scope["method"],
            "path": cut(scope["path"], 200),
            "status": status or 499,  # The client has gone.
            "seconds": round(seconds, 3),
        }
        ticket = scope.get("state", {}).get("ticket")
        if ticket is not None:
            first = ticket.requests[0]
            model = self._names.of_checkpoint(first.checkpoint.name)
            facts |= {"ticket": ticket.id, "state": ticket.state, "model": model}
            facts["images"] = len(ticket.requests)
            if self._log_prompts:
                facts["prompt"] = cut(str(first.arguments.get("prompt", "")), _LONGEST_PROMPT)
        return facts


def _log_failure(id: str, error: Exception) -> None:
    """Log where an error happened; the text of one that isn't ours can have a prompt in it."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = " < ".join(f"{one.name} ({one.filename}:{one.lineno})" for one in reversed(frames))
    facts = {"request": id, "error": type(error).__name__, "at": places}
    if isinstance(error, AutopipeError):
        facts["message"] = str(error)
    _say(logging.ERROR, facts)


def _say(level: int, facts: dict[str, Any]) -> None:
    text = " ".join(f"{name}={clean(str(one), keep='')}" for name, one in facts.items())
    _log.log(level, "%s", text, extra={"facts": facts})


class AsJson(logging.Formatter):
    """Formats records as a line of JSON each."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: the time, the level, and the facts or else the message."""
        facts = getattr(record, "facts", None) or {"message": record.getMessage()}
        when = datetime.fromtimestamp(record.created, timezone.utc).isoformat(
            timespec="milliseconds"
        )
        return json.dumps({"time": when, "level": record.levelname.lower(), **facts}, default=str)


@contextmanager
def logging_to_stderr(*, as_json: bool) -> Iterator[None]:
    """Context manager in which this server, pipelines and uvicorn log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(AsJson() if as_json else plain)
    loggers = [logging.getLogger(name) for name in ("autopipe_serve", "autopipe", "uvicorn.error")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    for one in loggers:
        one.handlers, one.propagate = [handler], False
        one.setLevel(logging.INFO if one is loggers[0] else logging.WARNING)
    try:
        yield
    finally:
        for one, (handlers, propagate, level) in zip(loggers, before):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)
