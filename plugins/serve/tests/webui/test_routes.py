from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import webuiapi
from PIL import Image

from autopipe_requests.pictures import save_image


def test_options_take_what_they_gave(api: webuiapi.WebUIApi, studio: Any) -> None:
    options = api.get_options()
    assert options["sd_model_checkpoint"] == "red.safetensors"
    options["sd_model_checkpoint"] = "blue"
    options["CLIP_stop_at_last_layers"] = 3
    api.set_options({**options, "an_option_of_an_extension": [1, {"a": None}]})
    assert api.get_options() == options
    api.txt2img(width=8, height=8)
    assert studio.given[0]["model"] == "blue"
    assert studio.given[0]["clip_skip"] == 2


def test_what_one_request_overrides_is_for_it_alone(api: webuiapi.WebUIApi, studio: Any) -> None:
    override = {"sd_model_checkpoint": "blue"}
    api.txt2img(width=8, height=8, override_settings=override)
    api.txt2img(width=8, height=8)
    assert [one.get("model") for one in studio.given] == ["blue", None]


@pytest.mark.parametrize("name", ["red.safetensors", "red.safetensors [0123456789]", "red"])
def test_models_by_name_and_title(address: str, name: str) -> None:
    body = {"sd_model_checkpoint": name}
    assert httpx.post(f"{address}/options", json=body).json() is None
    assert httpx.get(f"{address}/options").json()["sd_model_checkpoint"] == "red.safetensors"


def test_unknown_models_change_nothing(address: str) -> None:
    before = httpx.get(f"{address}/options").json()
    found = httpx.post(f"{address}/options", json={"sd_model_checkpoint": "gone"})
    assert found.status_code == 404
    assert "/secret" not in found.text
    assert httpx.get(f"{address}/options").json() == before


def test_the_closest_model_is_set(api: webuiapi.WebUIApi) -> None:
    api.util_set_model("blu")
    assert api.util_get_current_model() == "blue"


def test_lists(api: webuiapi.WebUIApi) -> None:
    assert api.util_get_model_names() == ["blue", "red.safetensors"]
    assert api.get_loras()[0]["name"] == "ink"
    assert "/secret" not in str([api.get_loras(), api.get_sd_models()])
    assert {"Euler", "Euler a", "DPM++ 2M", "DDIM"} <= {*api.util_get_sampler_names()}
    assert {"automatic", "karras"} <= {*api.util_get_scheduler_names()}
    assert {"None", "Lanczos", "Nearest"} == {one["name"] for one in api.get_upscalers()}
    assert api.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert api.get_scripts() == {"txt2img": [], "img2img": []}
    empty = (
        api.get_latent_upscale_modes, api.get_sd_vae, api.get_hypernetworks,
        api.get_face_restorers, api.get_realesrgan_models, api.get_prompt_styles,
    )  # fmt: skip
    assert [one() for one in empty] == [[]] * len(empty)
    assert api.get_cmd_flags() == {}
    assert api.refresh_checkpoints() is None


def test_settings_of_a_picture(api: webuiapi.WebUIApi) -> None:
    drawn = api.txt2img(prompt="a fox", negative_prompt="fog", width=8, height=16, seed=3)
    found = api.png_info(drawn.image)
    assert found.info == drawn.info["infotexts"][0]
    assert found.json["items"].keys() == {"autopipe"}
    assert found.parameters["Prompt"] == "a fox"
    assert found.parameters["Negative prompt"] == "fog"
    assert found.parameters["Seed"] == "3"
    assert (found.parameters["Size-1"], found.parameters["Size-2"]) == ("8", "16")


def test_settings_of_other_files(address: str, tmp_path: Path) -> None:
    def ask(content: bytes) -> httpx.Response:
        text = base64.b64encode(content).decode()
        return httpx.post(f"{address}/png-info", json={"image": text})

    stream = io.BytesIO()
    save_image(
        Image.new("RGB", (8, 8)), stream, {"parameters": "ä\nSteps: 1, Seed: 2, Sampler: x"}, "JPEG"
    )
    assert ask(stream.getvalue()).json()["parameters"]["Seed"] == "2"
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    assert ask(stream.getvalue()).json() == {"info": "", "items": {}, "parameters": {}}
    for content in (b"GIF", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"\0" * 9):
        found = ask(content)
        assert found.status_code == 400
        assert str(tmp_path) not in found.text
        assert "/tmp" not in found.text


_DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        '{"width": -512}',
        '{"width": 0}',
        '{"height": 99999999999}',
        '{"width": 1.5}',
        '{"steps": -1}',
        '{"steps": 1e400}',
        '{"cfg_scale": NaN}',
        '{"cfg_scale": Infinity}',
        '{"cfg_scale": "hot"}',
        '{"denoising_strength": -Infinity}',
        '{"batch_size": 1000000000}',
        '{"batch_size": 1000000, "n_iter": 1000000}',
        '{"seed": -2}',
        '{"seed": 99999999999999999999999}',
        '{"seed": ' + "9" * 5000 + "}",
        '{"prompt": ["a"]}',
        '{"prompt": "\\ud800"}',
        '{"prompt": "' + "a" * 20_000 + '"}',
        '{"prompt": "' + "<lora:" * 3000 + '"}',
        '{"sampler_name": {"a": 1}}',
        '{"override_settings": [1]}',
        '{"override_settings": {"CLIP_stop_at_last_layers": -1}}',
        '{"override_settings": {"sd_model_checkpoint": "../../etc/passwd"}}',
        '{"override_settings": {"sd_model_checkpoint": "/secret/red"}}',
        '{"alwayson_scripts": ' + '{"a":' * 2000 + "1" + "}" * 2000 + "}",
        '{"enable_hr": true, "hr_scale": NaN}',
        '{"enable_hr": true, "hr_scale": 1e308}',
        '{"prompt": "<lora:../../etc/passwd:1>"}',
        '{"prompt": "<lora:ink:nan>", "sampler_name": "\\u0000"}',
        "[]",
        "null",
        "nonsense",
        '{"prompt": ' + _DEEP + "}",
        "",
    ],
)
def test_hostile_bodies_are_refused(shared: tuple[str, Any], body: str) -> None:
    address, studio = shared
    found = httpx.post(
        f"{address}/txt2img", content=body, headers={"Content-Type": "application/json"}
    )
    assert 400 <= found.status_code < 500
    assert found.json().keys() == {"error", "detail", "body", "errors"}
    assert len(found.text) < 2000
    assert studio.tickets == []


@pytest.mark.parametrize(
    "body", ['{"samples_format": 1}', '{"CLIP_stop_at_last_layers": NaN}', "[1]", _DEEP]
)
def test_hostile_options_are_refused(shared: tuple[str, Any], body: str) -> None:
    address, _ = shared
    found = httpx.post(
        f"{address}/options", content=body, headers={"Content-Type": "application/json"}
    )
    assert 400 <= found.status_code < 500
    assert found.json().keys() == {"error", "detail", "body", "errors"}


def test_pages_of_other_sites_draw_nothing(serve: Callable[..., str], studio: Any) -> None:
    address = serve()
    found = httpx.post(f"{address}/txt2img", content="{}", headers={"Content-Type": "text/plain"})
    assert found.status_code == 415
    assert studio.tickets == []
