"""Images from prompts, as the official client asks for them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import httpx
import PIL.Image
import pytest

from autopipe_requests.pictures import texts_of
from autopipe_requests.record import Record


def opened(image: Any) -> PIL.Image.Image:
    """Return the image of an answer."""
    return PIL.Image.open(io.BytesIO(base64.b64decode(image.b64_json)))


def record_of(image: Any, folder: Any) -> Record:
    """Return the record in an image of an answer."""
    file = folder / "answered"
    file.write_bytes(base64.b64decode(image.b64_json))
    return Record.read(texts_of(file)["autopipe"])


def test_an_image_is_drawn(serve: Callable[..., Any], tmp_path: Any) -> None:
    served = serve()
    answer = served.client().images.generate(prompt="a square", size="24x16")
    assert [one.url for one in answer.data] == [None]
    assert opened(answer.data[0]).size == (24, 16)
    assert record_of(answer.data[0], tmp_path).request.arguments["prompt"] == "a square"
    assert (answer.size, answer.output_format) == ("24x16", "png")
    assert (answer.quality, answer.background) == ("medium", "opaque")
    assert answer.usage.total_tokens == answer.usage.input_tokens_details.text_tokens == 0
    assert answer.created > 1_700_000_000
    assert served.studio.drawn == 1


def test_the_seeds_of_several_count_up(serve: Callable[..., Any], tmp_path: Any) -> None:
    client = serve().client()
    answer = client.images.generate(prompt="squares", n=3, extra_body={"seed": 7})
    assert [record_of(one, tmp_path).request.seed for one in answer.data] == [7, 8, 9]
    assert [opened(one).getpixel((0, 0))[0] for one in answer.data] == [7, 8, 9]


@pytest.mark.parametrize(("format", "found"), [("webp", "WEBP"), ("jpeg", "JPEG")])
def test_formats_have_the_record(
    serve: Callable[..., Any], tmp_path: Any, format: Any, found: str
) -> None:
    client = serve().client()
    answer = client.images.generate(prompt="a square", output_format=format)
    assert opened(answer.data[0]).format == found
    assert answer.output_format == format
    assert record_of(answer.data[0], tmp_path).request.seed == 5


def test_compression_is_the_quality(serve: Callable[..., Any]) -> None:
    client = serve().client()
    found = {}
    for quality in (5, 100):
        answer = client.images.generate(
            prompt="a square", output_format="jpeg", output_compression=quality
        )
        tables = opened(answer.data[0]).quantization  # type: ignore[attr-defined]
        found[quality] = max(map(max, tables.values()))
    assert found[5] > found[100] == 1


def test_webp_is_lossless_unless_compressed(serve: Callable[..., Any]) -> None:
    client = serve().client()
    kinds = []
    for quality in (None, 80):
        answer = client.images.generate(
            prompt="a square", output_format="webp", output_compression=quality
        )
        kinds.append(b"VP8L" in base64.b64decode(answer.data[0].b64_json))
    assert kinds == [True, False]


def test_a_url_is_a_link_to_the_written_file(serve: Callable[..., Any], tmp_path: Any) -> None:
    served = serve()
    answer = served.client().images.generate(prompt="squares", n=2, response_format="url")
    assert [one.b64_json for one in answer.data] == [None, None]
    urls = [one.url for one in answer.data]
    ticket = served.studio.tickets[0]
    assert urls == [f"{served.address}/requests/{ticket.id}/results/{i}" for i in (0, 1)]
    assert httpx.get(urls[1]).content == ticket.files[1].read_bytes()


def test_extensions_go_by_the_names_of_other_servers(serve: Callable[..., Any]) -> None:
    served = serve()
    extensions = {
        "seed": 3,
        "step": 12,
        "guidance_scale": 4.5,
        "negative_prompt": "circles",
        "scheduler": "ddim",
        "lora": [{"name": "ink", "scale": 0.5}, "pen:2"],
    }
    served.client().images.generate(prompt="a square", extra_body=extensions)
    given = served.studio.given[0]
    assert given["steps"] == 12
    assert given["lora"] == [{"source": "ink", "strength": 0.5}, "pen:2"]
    same = ("seed", "guidance_scale", "negative_prompt", "scheduler")
    assert [given[name] for name in same] == [extensions[name] for name in same]


def test_what_has_no_effect_is_taken(serve: Callable[..., Any]) -> None:
    served = serve()
    answer = served.client().images.generate(
        prompt="a square",
        model="squares",
        size="auto",
        quality="hd",
        style="vivid",
        user="me",
        moderation="low",
        background="auto",
        partial_images=None,
        n=None,
        extra_body={"image_detail": "x", "new_in_a_later_version": {"a": 1}},
    )
    assert served.studio.given == [{"prompt": "a square", "model": "squares"}]
    assert answer.quality == "high"


def test_models_are_listed(serve: Callable[..., Any]) -> None:
    client = serve().client()
    assert [one.id for one in client.models.list()] == ["squares", "own/other"]
    found = client.models.retrieve("own/other")
    assert (found.id, found.object, found.owned_by) == ("own/other", "model", "autopipe")
