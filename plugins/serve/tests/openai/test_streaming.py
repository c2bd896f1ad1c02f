"""Images as events, with previews."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import PIL.Image
import pytest

from autopipe.errors import ArgumentError
from autopipe_serve.openai import streaming


def collected(stream: Any) -> list[Any]:
    """Return the events of a stream."""
    return list(stream)


@pytest.mark.parametrize("partials", [0, 1, 3])
def test_previews_come_before_the_image(serve: Callable[..., Any], partials: int) -> None:
    served = serve()
    events = collected(
        served.client().images.generate(
            prompt="a square", size="24x16", stream=True, partial_images=partials, quality="low"
        )
    )
    kinds = ["image_generation.partial_image"] * partials + ["image_generation.completed"]
    assert [one.type for one in events] == kinds
    assert [one.partial_image_index for one in events[:-1]] == list(range(partials))
    for one in events:
        assert (one.size, one.background, one.quality) == ("24x16", "opaque", "low")
        assert one.output_format == "png"
        assert one.created_at > 1_700_000_000
    sizes = [PIL.Image.open(io.BytesIO(base64.b64decode(one.b64_json))).size for one in events]
    assert sizes == [(4, 4)] * partials + [(24, 16)]
    assert events[-1].usage.input_tokens_details.image_tokens == 0


def test_several_images_come_one_after_the_other(serve: Callable[..., Any]) -> None:
    events = collected(
        serve()
        .client()
        .images.generate(prompt="squares", n=2, stream=True, partial_images=2, output_format="jpeg")
    )
    of_one = ["partial_image", "partial_image", "completed"]
    assert [one.type.partition(".")[2] for one in events] == of_one * 2
    found = [getattr(one, "partial_image_index", None) for one in events]
    assert found == [0, 1, None] * 2
    images = [PIL.Image.open(io.BytesIO(base64.b64decode(one.b64_json))) for one in events]
    assert {one.format for one in images} == {"JPEG"}
    assert {one.size for one in (images[2], images[5])} == {(16, 8)}


def test_edits_have_events_of_their_own(serve: Callable[..., Any]) -> None:
    file = io.BytesIO()
    PIL.Image.new("RGB", (16, 8)).save(file, "PNG")
    events = collected(
        serve()
        .client()
        .images.edit(image=file.getvalue(), prompt="a square", stream=True, partial_images=1)
    )
    assert [one.type for one in events] == ["image_edit.partial_image", "image_edit.completed"]


def test_what_is_wrong_before_the_first_event_has_its_status(serve: Callable[..., Any]) -> None:
    served = serve()
    client = served.client()
    with pytest.raises(openai.BadRequestError, match="prompt is bad"):
        client.images.generate(prompt="a bad square", stream=True)
    served.studio.failure = ArgumentError("a square has four sides; give four")
    with pytest.raises(openai.BadRequestError, match="four sides"):
        client.images.generate(prompt="a square", stream=True)
    assert served.studio.drawn == 1


def test_what_fails_later_is_an_event(serve: Callable[..., Any]) -> None:
    served = serve()
    served.studio.failure, served.studio.failing_image = ArgumentError("it is not square"), 1
    stream = served.client().images.generate(prompt="squares", n=2, stream=True)
    assert next(stream).type == "image_generation.completed"
    with pytest.raises(openai.APIError, match="it is not square") as caught:
        next(stream)
    assert caught.value.type == "invalid_request_error"
    assert served.studio.drawn == 2


def test_silence_is_filled_with_comments(serve: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.05)
    served = serve()
    served.studio.going.clear()
    lines = []
    body = {"prompt": "a square", "stream": True}
    with httpx.stream("POST", f"{served.address}/v1/images/generations", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            lines.append(line)
            if lines.count(": waiting") == 2:
                served.studio.going.set()
    told = [json.loads(one.removeprefix("data: ")) for one in lines if one.startswith("data:")]
    assert [one["type"] for one in told] == ["image_generation.completed"]
    assert served.studio.drawn == 1


def test_the_official_client_reads_over_comments(
    serve: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.01)
    events = collected(serve().client().images.generate(prompt="a square", stream=True))
    assert [one.type for one in events] == ["image_generation.completed"]
