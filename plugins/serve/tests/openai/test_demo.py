"""The demo behind the official client."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import PIL.Image
import pytest

from autopipe_requests.pictures import texts_of
from autopipe_requests.record import Record
from autopipe_serve.settings import Settings
from autopipe_serve.studio import Studio


@pytest.fixture
def client(serve: Callable[..., Any], tmp_path: Path) -> Iterator[openai.OpenAI]:
    """A client of a server that draws with the demo."""
    with Studio(Settings(folder=tmp_path / "results")) as studio:
        yield serve(studio, models={}).client()


def pixels(image: Any) -> Any:
    """Return the pixels of an answer, an array (height, width, 3)."""
    content = base64.b64decode(image.b64_json)
    return np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB"), np.int16)


def png(array: Any) -> bytes:
    """Return an array as a PNG."""
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_the_same_request_gives_the_same_image(client: openai.OpenAI, tmp_path: Path) -> None:
    extensions = {"seed": 4, "num_inference_steps": 2, "guidance_scale": 3.0}
    both = client.images.generate(prompt="a star", n=2, extra_body=extensions)
    second = client.images.generate(prompt="a star", extra_body={**extensions, "seed": 5})
    assert both.data[1].b64_json != both.data[0].b64_json
    assert (pixels(both.data[1]) == pixels(second.data[0])).all()
    file = tmp_path / "answered.png"
    file.write_bytes(base64.b64decode(both.data[1].b64_json))
    request = Record.read(texts_of(file)["autopipe"]).request
    assert (request.seed, request.arguments["num_inference_steps"]) == (5, 2)


def test_only_what_is_transparent_is_repainted(client: openai.OpenAI) -> None:
    picture = np.full((64, 64, 3), (200, 30, 60), np.uint8)
    mask = np.full((64, 64, 4), 255, np.uint8)
    mask[:, :32, 3] = 0
    answer = client.images.edit(
        image=png(picture), mask=png(mask), prompt="a star",
        extra_body={"num_inference_steps": 3, "strength": 1.0, "seed": 1},
    )  # fmt: skip
    changed = np.abs(pixels(answer.data[0]) - picture).max(-1)
    assert changed.shape == (64, 64)
    assert changed[:, 32:].max() == 0
    assert (changed[:, :32] > 8).mean() > 0.5


def test_a_picture_without_a_mask_changes_as_a_whole(client: openai.OpenAI) -> None:
    picture = np.full((64, 64, 3), (200, 30, 60), np.uint8)
    extensions = {"num_inference_steps": 3, "strength": 0.9, "seed": 1}
    answer = client.images.edit(
        image=[png(picture)], prompt="a star", size="32x32", extra_body=extensions
    )
    assert (answer.size, pixels(answer.data[0]).shape) == ("32x32", (32, 32, 3))


def test_what_the_pipeline_refuses_is_a_bad_request(client: openai.OpenAI) -> None:
    for options in (
        {"size": "30x31"},
        {"size": "4096x4096"},
        {"extra_body": {"num_inference_steps": "many"}},
        {"extra_body": {"num_inference_steps": 100_000}},
        {"extra_body": {"scheduler": "nobody"}},
        {"extra_body": {"lora": "../../secret"}},
        {"extra_body": {"strength": 0.5}},
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(**{"prompt": "a star", **options})
        assert caught.value.message


def test_the_demo_is_the_model(client: openai.OpenAI) -> None:
    names = [one.id for one in client.models.list()]
    assert "demo:stable_diffusion" in names
    answer = client.images.generate(
        prompt="a star", model="demo:stable_diffusion", extra_body={"steps": 1}
    )
    assert client.models.retrieve(names[0]).id == names[0]
    assert len(answer.data) == 1


def test_a_stream_ends_with_the_image(client: openai.OpenAI) -> None:
    extensions = {"steps": 2, "seed": 4}
    options = {"prompt": "a star", "extra_body": extensions}
    [*partials, last] = client.images.generate(stream=True, partial_images=1, **options)
    whole = client.images.generate(**options)
    assert len(partials) <= 1
    content = base64.b64decode(last.b64_json)
    assert content == base64.b64decode(whole.data[0].b64_json)
