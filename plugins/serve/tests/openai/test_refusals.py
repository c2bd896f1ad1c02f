"""Errors, in the classes of the official client, and requests that aren't drawn again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from autopipe.errors import ArgumentError, CheckpointError


@pytest.mark.parametrize(
    ("options", "param", "said"),
    [
        ({"n": 0}, "n", "whole number from 1 to 10"),
        ({"n": 11}, "n", "whole number from 1 to 10"),
        ({"size": "large"}, "size", "WIDTHxHEIGHT"),
        ({"output_format": "gif"}, "output_format", "'gif' is not supported; give png"),
        ({"output_format": "svg"}, "output_format", "'svg' is not supported; give png"),
        ({"output_compression": 101}, "output_compression", "from 0 to 100"),
        ({"background": "transparent"}, "background", "'transparent' is not supported"),
        ({"response_format": "file"}, "response_format", "b64_json or url"),
        ({"response_format": "url", "output_format": "webp"}, "output_format", "a PNG"),
        ({"response_format": "url", "stream": True}, "stream", "can't be streamed"),
        ({"stream": True, "partial_images": 4}, "partial_images", "from 0 to 3"),
        ({"extra_body": {"guidence_scale": 3}}, "guidence_scale", "mean 'guidance_scale'"),
        ({"extra_body": {"step": 3, "steps": 4}}, "step", "are the same"),
        ({"extra_body": {"image": "AAAA"}}, "image", "/v1/images/edits"),
        ({"extra_body": {"seed": 2**63 - 1}, "n": 2}, "seed", "too large for 2 images"),
        ({"extra_body": {"prompt": ["a"]}}, "prompt", "is not text"),
        ({"extra_body": {"prompt": None}}, "prompt", "is missing"),
        ({"extra_body": {"model": 7}}, "model", "is not text"),
        ({"prompt": "a bad square"}, None, "prompt is bad"),
    ],
)
def test_what_is_wrong_is_a_bad_request(
    serve: Callable[..., Any], options: dict[str, Any], param: str | None, said: str
) -> None:
    served = serve()
    with pytest.raises(openai.BadRequestError, match=said) as caught:
        served.client().images.generate(**{"prompt": "a square", **options})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert served.studio.drawn == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000, b'{"prompt": "\xff"}', b""])
def test_what_is_not_json_is_a_bad_request(serve: Callable[..., Any], body: bytes) -> None:
    served = serve()
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{served.address}/v1/images/generations", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/images/generations", 405), ("POST", "/v1/images/variations", 404)],
)
def test_other_addresses_and_methods_have_the_shape(
    serve: Callable[..., Any], method: str, path: str, status: int
) -> None:
    served = serve()
    answer = httpx.request(method, served.address + path, json={})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_edits_take_only_forms(serve: Callable[..., Any]) -> None:
    served = serve()
    body = {"prompt": "a square", "image": "AAAA"}
    answer = httpx.post(f"{served.address}/v1/images/edits", json=body)
    assert answer.status_code == 400
    assert "multipart/form-data" in answer.json()["error"]["message"]


@pytest.mark.parametrize("form", [[("x", "1")] * 250, [("prompt", "a" * (1 << 21))]])
def test_forms_of_many_or_long_parts_are_refused(
    serve: Callable[..., Any], form: list[tuple[str, str]]
) -> None:
    served = serve()
    files = [(name, (None, value)) for name, value in form]
    answer = httpx.post(f"{served.address}/v1/images/edits", files=files)
    assert answer.status_code == 400
    assert "the form can't be read" in answer.json()["error"]["message"]


def test_an_unknown_model_is_not_found(serve: Callable[..., Any]) -> None:
    client = serve().client()
    for ask in (
        lambda: client.images.generate(prompt="a square", model="dall-e-3"),
        lambda: client.models.retrieve("dall-e-3"),
    ):
        with pytest.raises(openai.NotFoundError, match="this server has squares") as caught:
            ask()
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_wrong_key_is_an_authentication_error(serve: Callable[..., Any]) -> None:
    served = serve(keys=("secret",))
    with pytest.raises(openai.AuthenticationError) as caught:
        served.client().images.generate(prompt="a square")
    assert caught.value.code == "invalid_api_key"
    assert served.client(api_key="secret").images.generate(prompt="a square").data
    assert served.studio.tickets[0].owner != "secret"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (RuntimeError("out of paint"), openai.InternalServerError),
        (CheckpointError("it is damaged"), openai.InternalServerError),
        (ArgumentError("it is not square"), openai.BadRequestError),
    ],
)
def test_what_fails_is_drawn_once(
    serve: Callable[..., Any], failure: Exception, kind: type[Exception]
) -> None:
    served = serve()
    served.studio.failure = failure
    with pytest.raises(kind):
        served.client().images.generate(prompt="a square")
    assert served.studio.drawn == 1


def test_what_is_cancelled_is_a_conflict_and_drawn_once(serve: Callable[..., Any]) -> None:
    served = serve()
    served.studio.cancelling = True
    with pytest.raises(openai.ConflictError) as caught:
        served.client().images.generate(prompt="a square")
    assert caught.value.code == "cancelled"
    assert served.studio.drawn == 1


def test_a_full_queue_is_tried_again(serve: Callable[..., Any]) -> None:
    served = serve()
    served.studio.refusals = 1
    assert served.client().images.generate(prompt="a square").data
    assert (len(served.studio.given), served.studio.drawn) == (2, 1)
    served.studio.refusals = 99
    with pytest.raises(openai.RateLimitError, match="queue is full") as caught:
        served.client(max_retries=0).images.generate(prompt="a square")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.type == "rate_limit_error"
    assert served.studio.drawn == 1
