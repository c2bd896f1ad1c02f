"""The settings in pictures, as requests take them."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest

from autopipe_serve.own.pictures import model_named


def with_text(name: str, text: str) -> bytes:
    file, info = io.BytesIO(), PIL.PngImagePlugin.PngInfo()
    info.add_text(name, text)
    PIL.Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_a_picture_of_this_server_is_drawn_again(server: Any) -> None:
    given = {"prompt": "a blue square", "steps": 2, "seed": 3, "scheduler": "DDIM", "size": 64}

    def drawn(given: dict) -> tuple[dict, bytes]:
        found = server.post("/requests", json=given).json()
        while not (results := server.get(found["links"]["self"]).json()["results"]):
            time.sleep(0.02)
        return found, server.get(results[0]).content

    first, content = drawn(given)
    answered = server.post("/settings", files={"file": ("x.png", content)}).json()
    assert answered["program"] == "autopipe"
    assert (answered["given"]["model"], answered["left"]) == ("painter", [])
    again, same = drawn(answered["given"])
    assert again["images"] == first["images"]
    assert same == content


def test_a_picture_of_another_program(server: Any) -> None:
    text = (
        "a castle <lora:mine:0.8>\nNegative prompt: fog\n"
        "Steps: 4, Sampler: DDIM, CFG scale: 5, Seed: 9, Size: 64x64, Model: unknown"
    )
    file = base64.b64encode(with_text("parameters", text)).decode()
    found = server.post("/settings", json={"file": file}).json()
    given = found["given"]
    assert (given["num_inference_steps"], given["seed"], given["model"]) == (4, 9, "painter")
    assert given["negative_prompt"] == "fog"
    assert any("'unknown'" in one for one in found["left"])
    assert any("'mine'" in one for one in found["left"])
    assert server.post("/requests", json=given).status_code == 202


def test_files_of_the_request_are_asked_for_again(server: Any, picture: Any) -> None:
    image = base64.b64encode(picture("PNG", (64, 64))).decode()
    given = {"prompt": "x", "steps": 2, "image": image}
    found = server.post("/requests", json=given).json()
    while not (results := server.get(found["links"]["self"]).json()["results"]):
        time.sleep(0.02)
    file = {"file": ("x.png", server.get(results[0]).content)}
    answered = server.post("/settings", files=file).json()
    assert "image" not in answered["given"]
    assert any(one.startswith("image: the file") for one in answered["left"])


@pytest.mark.parametrize(
    "content", [with_text("x", "y"), b"", b"nothing", with_text("autopipe", '{"format": 1}')]
)
def test_without_settings(server: Any, content: bytes, tmp_path: Path) -> None:
    answered = server.post("/settings", files={"file": ("x.png", content)})
    assert answered.status_code == 422
    assert "/tmp" not in answered.text


def test_models_are_found_by_names_of_clients_files_and_folders() -> None:
    models = {"painter": "/models/big-painter", "old": "/models/v1-5.safetensors"}
    assert model_named("painter", models) == "painter"
    assert model_named("/models/big-painter", models) == "painter"
    assert model_named("Big-Painter.safetensors", models) == "painter"
    assert model_named("v1-5", models) == "old"
    assert model_named("other", models) is None
    assert model_named("", models) is None
