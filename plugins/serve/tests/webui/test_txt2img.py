from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import webuiapi
from PIL import Image

from autopipe_requests.foreign.infotext import split
from autopipe_requests.pictures import texts_of


def test_pictures_seeds_and_settings(api: webuiapi.WebUIApi, studio: Any) -> None:
    found = api.txt2img(prompt="a fox", seed=40, batch_size=2, n_iter=2, steps=3, width=48)
    assert [one.size for one in found.images] == [(48, 512)] * 4
    assert found.info["seed"] == 40
    assert found.info["all_seeds"] == [40, 41, 42, 43]
    assert found.info["all_prompts"] == ["a fox"] * 4
    assert [split(one)[2]["Seed"] for one in found.info["infotexts"]] == ["40", "41", "42", "43"]
    assert [one.info["parameters"] for one in found.images] == found.info["infotexts"]
    assert found.parameters["prompt"] == "a fox"
    assert (found.info["width"], found.info["height"]) == (48, 512)
    assert studio.given[0]["num_inference_steps"] == 3
    assert studio.given[0]["guidance_scale"] == 7.0
    assert len(studio.tickets) == 1


def test_defaults_are_those_of_the_web_ui(address: str, studio: Any) -> None:
    found = httpx.post(f"{address}/txt2img", json={"prompt": None, "seed": None})
    assert found.status_code == 200
    (given,) = studio.given
    assert (given["num_inference_steps"], given["size"]) == (50, [512, 512])
    assert "scheduler" not in given
    assert "model" not in given
    assert 0 <= given["seed"] < 2**32


def test_seeds_are_random(address: str, studio: Any) -> None:
    for _ in range(2):
        httpx.post(f"{address}/txt2img", json={"seed": -1, "width": 8, "height": 8})
    assert studio.given[0]["seed"] != studio.given[1]["seed"]


def test_the_file_is_answered_as_it_was_written(address: str, studio: Any) -> None:
    found = httpx.post(f"{address}/txt2img", json={"width": 8, "height": 8}).json()
    (file,) = studio.tickets[0].files
    assert base64.b64decode(found["images"][0]) == file.read_bytes()


def test_every_sampler_is_drawn(api: webuiapi.WebUIApi, studio: Any) -> None:
    for name in api.util_get_sampler_names():
        found = api.txt2img(sampler_name=name, scheduler="Karras", width=8, height=8)
        assert found.info["sampler_name"] == name
    names = {one["scheduler"]["name"] for one in studio.given if "scheduler" in one}
    assert {"EulerAncestralDiscreteScheduler", "PNDMScheduler", "LCMScheduler"} <= names


@pytest.mark.parametrize(
    ("sampler", "kind", "name", "setting"),
    [
        ("DPM++ 2M", "karras", "DPMSolverMultistepScheduler", ("use_karras_sigmas", True)),
        ("DPM++ 2M Karras", None, "DPMSolverMultistepScheduler", ("use_karras_sigmas", True)),
        ("DPM++ 2M", "Automatic", "DPMSolverMultistepScheduler", ("use_karras_sigmas", True)),
        ("k_euler", "sgm_uniform", "EulerDiscreteScheduler", ("timestep_spacing", "trailing")),
    ],
)
def test_names_of_samplers(
    address: str, studio: Any, sampler: str, kind: str, name: str, setting: tuple[str, Any]
) -> None:
    body = {"sampler_index": sampler, "scheduler": kind, "width": 8, "height": 8}
    assert httpx.post(f"{address}/txt2img", json=body).status_code == 200
    found = studio.given[0]["scheduler"]
    assert found["name"] == name
    assert found["config"][setting[0]] == setting[1]


def test_tags_and_clip_skip(api: webuiapi.WebUIApi, studio: Any) -> None:
    found = api.txt2img(
        prompt="a fox <lora:ink:0.5>", negative_prompt="fog", override_settings={
            "CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "blue", "made_up": 1,
        },
    )  # fmt: skip
    (given,) = studio.given
    assert (given["prompt"], given["negative_prompt"]) == ("a fox", "fog")
    assert given["addons"] == [{"addon": "lora", "source": "ink", "strength": 0.5}]
    assert given["clip_skip"] == 1
    assert given["model"] == "blue"
    assert found.info["all_prompts"] == ["a fox <lora:ink:0.5>"]
    assert found.info["sd_model_name"] == "blue"
    assert found.info["clip_skip"] == 2


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"sampler_name": "Eulr"}, 404, "Did you mean 'Euler'"),
        ({"scheduler": "Polyexponential"}, 404, "schedule type"),
        ({"prompt": "<lora:absent:1>"}, 404, "there are ink"),
        ({"override_settings": {"sd_model_checkpoint": "gone"}}, 404, "red.safetensors"),
        ({"enable_hr": True, "hr_upscaler": "LDSR"}, 404, "upscaler"),
        ({"alwayson_scripts": {"ControlNet": {"args": []}}}, 422, "'ControlNet'"),
        ({"script_name": "X/Y/Z plot"}, 422, "X/Y/Z plot"),
        ({"restore_faces": True}, 422, "restore_faces"),
        ({"tiling": True}, 422, "tiling"),
        ({"subseed_strength": 0.2}, 422, "second seed"),
        ({"styles": ["dark"]}, 422, "styles"),
        ({"override_settings": {"samples_format": "avif"}}, 422, "avif"),
        ({"override_settings": {"sd_vae": "other.pt"}}, 422, "other.pt"),
        ({"steps": "many"}, 422, "steps"),
        ({"batch_size": 4, "n_iter": 3}, 400, "at most 10"),
    ],
)
def test_refusals_in_the_shape_of_the_web_ui(
    shared: tuple[str, Any], body: dict[str, Any], status: int, said: str
) -> None:
    address, studio = shared
    found = httpx.post(f"{address}/txt2img", json=body)
    assert found.status_code == status
    assert found.json().keys() == {"error", "detail", "body", "errors"}
    assert said in found.json()["detail"]
    assert studio.tickets == []


def test_a_full_queue_says_when_to_come_again(address: str, studio: Any) -> None:
    studio.full = True
    found = httpx.post(f"{address}/txt2img", json={})
    assert found.status_code == 429
    assert found.headers["Retry-After"] == "7"


def test_what_fails_is_said(address: str, studio: Any) -> None:
    studio.error = "there is too little memory to draw this"
    found = httpx.post(f"{address}/txt2img", json={})
    assert found.status_code == 500
    assert found.json()["detail"] == studio.error


def test_formats_and_what_is_sent(address: str, tmp_path: Any) -> None:
    body = {"width": 8, "height": 8, "prompt": "fünf", "sampler_name": "Euler"}
    body["override_settings"] = {"samples_format": "webp"}
    found = httpx.post(f"{address}/txt2img", json=body).json()
    content = base64.b64decode(found["images"][0])
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.format == "WEBP"
    (tmp_path / "one.webp").write_bytes(content)
    texts = texts_of(tmp_path / "one.webp")
    assert texts["parameters"] == json.loads(found["info"])["infotexts"][0]
    assert "autopipe" in texts
    body["send_images"] = False
    assert httpx.post(f"{address}/txt2img", json=body).json()["images"] == []


def test_two_passes(api: webuiapi.WebUIApi, studio: Any) -> None:
    found = api.txt2img(
        prompt="a fox", seed=3, batch_size=2, steps=9, width=64, height=32, enable_hr=True,
        hr_scale=1.5, hr_upscaler=webuiapi.HiResUpscaler.Nearest, hr_second_pass_steps=5,
        hr_prompt="a large fox", denoising_strength=0.6, sampler_name="Euler",
    )  # fmt: skip
    assert [one.size for one in found.images] == [(96, 48)] * 2
    first, *second = studio.given
    assert (first["task"], first["size"], first["num_inference_steps"]) == (
        "text2image", [64, 32], 9,
    )  # fmt: skip
    assert [one["seed"] for one in second] == [3, 4]
    assert second[0]["task"] == "image2image"
    assert (second[0]["strength"], second[0]["num_inference_steps"]) == (0.6, 5)
    assert second[0]["prompt"] == "a large fox"
    assert studio.pictures[1]["image"].size == (96, 48)
    settings = split(found.info["infotexts"][0])[2]
    assert (settings["Size"], settings["Steps"]) == ("64x32", "9")
    assert (settings["Hires upscale"], settings["Hires steps"]) == ("1.5", "5")
    assert settings["Hires upscaler"] == "Nearest"


def test_latents_are_not_enlarged_and_that_is_said(api: webuiapi.WebUIApi) -> None:
    found = api.txt2img(enable_hr=True, width=16, height=16, hr_resize_x=40)
    assert found.image.size == (40, 40)
    assert any("Lanczos" in one for one in found.info["comments"])


def test_two_passes_within_the_limits(serve: Callable[..., str], studio: Any) -> None:
    address = serve(limits={"pixels": 64 * 64})
    body = {"enable_hr": True, "width": 64, "height": 64}
    found = httpx.post(f"{address}/txt2img", json=body)
    assert found.status_code == 400
    assert "hr_scale" in found.json()["detail"]
    assert studio.tickets == []
