"""Errors as answers: the status, and a body in the shape that the clients of each API expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from autopipe.errors import (
    ArgumentError,
    AutopipeError,
    ClosedPipelineError,
    ImageFileError,
    SchedulerError,
    UnsupportedCheckpointError,
)
from autopipe.wording import cut, message, shown

from .studio import BusyError, LimitError, StoppingError, Ticket

KINDS: Mapping[int, str] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "cancelled",
    413: "too_large",
    415: "unsupported_media_type",
    421: "wrong_host",
    422: "invalid_request",
    429: "busy",
    503: "stopping",
}
"""What is wrong, by the status; 500 is `failed`."""

_OF_CLIENTS = (ArgumentError, ImageFileError, SchedulerError, UnsupportedCheckpointError)
_BACK = 2
"""After how many seconds a request to a server that stops is sent again: briefly, since a balancer
gives it to another one."""

_FAILED = "the server failed; its log says why under the request's X-Request-ID"


class Refusal(AutopipeError, HTTPException):
    """A request is refused with a status.

    Attributes:
        status: the status, 400 to 599.
        text: the message.
        param: the field that is wrong, or None.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # Where a body is read, FastAPI lets only exceptions of this class pass.
        HTTPException.__init__(self, status, text, dict(headers or {}))
        self.status, self.text, self.param = status, text, param

    def __str__(self) -> str:
        return message(self.text)


@dataclass(frozen=True)
class Failure:
    """An error, before it gets the shape of an API.

    Attributes:
        status: the status of the answer.
        message: what is wrong, for people.
        param: the field that is wrong, or None.
        headers: further headers of the answer.
    """

    status: int
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What is wrong, in a word for programs."""
        return KINDS.get(self.status, "failed" if self.status >= 500 else "invalid_request")


def failure_of(error: BaseException) -> Failure:
    """Return the failure that an error means."""
    if isinstance(error, Refusal):
        return Failure(error.status, str(error), error.param, error.headers or {})
    if isinstance(error, BusyError):
        return Failure(429, str(error), headers={"Retry-After": str(max(1, error.seconds))})
    if isinstance(error, LimitError):
        return Failure(400, str(error))
    if isinstance(error, (StoppingError, ClosedPipelineError)):
        return Failure(503, str(error), headers={"Retry-After": str(_BACK)})
    if isinstance(error, AutopipeError):
        return Failure(400 if isinstance(error, _OF_CLIENTS) else 500, str(error))
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return Failure(error.status_code, _plain(error), headers=error.headers or {})
    return Failure(500, _FAILED)


def check_drawn(ticket: Ticket) -> None:
    """Check that everything of a finished ticket was drawn.

    Raises:
        StoppingError: if it was cancelled because the server is being stopped.
        Refusal: if it was not drawn for another reason.
    """
    if ticket.failure is StoppingError:
        raise StoppingError
    if ticket.state == "cancelled":
        raise Refusal(409, ticket.error or "the request was cancelled before it was finished")
    if ticket.state == "failed":
        of_client = issubclass(ticket.failure or Exception, (*_OF_CLIENTS, LimitError))
        raise Refusal(400 if of_client else 500, ticket.error or _FAILED)


def _invalid(error: RequestValidationError) -> Failure:
    """Return the failure of a request that doesn't fit the fields of its route."""
    first = error.errors()[0]
    place = [str(one) for one in first.get("loc", ()) if one not in ("body", "query", "path")]
    name = cut(".".join(place))
    if first.get("type") == "json_invalid":
        return Failure(400, "the body is not valid JSON; send one JSON object")
    said = cut(str(first.get("msg", "is not valid")))
    found = "" if first.get("type") == "missing" else f", not {shown(first.get('input'))}"
    return Failure(422, message(f"{name or 'the body'}: {said}{found}"), name or None)


def _plain(error: HTTPException) -> str:
    """Return the text of an error of the framework in the words of this server."""
    status = error.status_code
    if status == 404:
        return "there is nothing at this address; /openapi.json lists what there is"
    if status == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return "this address doesn't take this method" + (f"; use {allowed}" if allowed else "")
    if status == 400 and "parsing the body" in str(error.detail):
        return "the body can't be read; send one JSON object, or a form with files"
    known = {one.value: one.phrase for one in HTTPStatus}
    return message(cut(str(error.detail or known.get(status, "the request failed")), 500))


Shape: TypeAlias = Callable[[Failure], Mapping[str, Any]]
"""Returns the body of an answer, which is sent as JSON."""


def own(failure: Failure) -> Mapping[str, Any]:
    """Return the body of an error of this server's own API."""
    return {"error": {"message": failure.message, "type": failure.kind}}


def openai(failure: Failure) -> Mapping[str, Any]:
    """Return the body of an error of OpenAI's API."""
    types = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    default = "server_error" if failure.status >= 500 else "invalid_request_error"
    codes = {401: "invalid_api_key"}
    if failure.param == "model":
        codes[404] = "model_not_found"
    return {
        "error": {
            "message": failure.message,
            "type": types.get(failure.status, default),
            "param": failure.param,
            "code": codes.get(failure.status, failure.kind),
        }
    }


def webui(failure: Failure) -> Mapping[str, Any]:
    """Return the body of an error of the web UI's API."""
    text = failure.message
    return {"error": failure.kind, "detail": text, "body": "", "errors": text}


SHAPES: Mapping[str, Shape] = {"/v1": openai, "/sdapi": webui}
"""The shapes of errors by the prefix of the path; all others have the shape of `own`."""


def shape_of(path: str) -> Shape:
    """Return the shape of errors for a path."""
    for prefix, shape in SHAPES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return shape
    return own


def answer(failure: Failure, path: str) -> Response:
    """Return the answer to a request for `path` that failed."""
    headers = dict(failure.headers)
    if failure.status in (408, 409) or (failure.status >= 500 and failure.status != 503):
        # OpenAI's client would send the request again, and it would be drawn again.
        headers["X-Should-Retry"] = "false"
    return JSONResponse(dict(shape_of(path)(failure)), failure.status, headers)
