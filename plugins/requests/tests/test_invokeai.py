"""InvokeAI's texts: those of version 3 and later, and the two before."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_requests.foreign import Foreign, foreign_of

DATA: dict[str, Any] = {
    "generation_mode": "txt2img",
    "positive_prompt": "a (hut)1.3",
    "negative_prompt": "fog",
    "width": 512,
    "height": 768,
    "seed": 4294967295,
    "rand_device": "cpu",
    "cfg_scale": 7.5,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 0,
    "model": {"key": "1-2", "hash": "blake3:ab", "name": "dreamshaper", "base": "sd-1"},
    "loras": [{"model": {"name": "paint"}, "weight": 0.75}],
    "controlnets": [],
    "app_version": "5.0.0",
}
OLDER: dict[str, Any] = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.4",
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "v2.2.4",
    "image": {
        "prompt": [{"prompt": "a hut [fog]", "weight": 1.0}],
        "steps": 50,
        "cfg_scale": 7.5,
        "threshold": 0,
        "perlin": 0,
        "height": 512,
        "width": 640,
        "seed": 3031912972,
        "seamless": False,
        "hires_fix": False,
        "type": "txt2img",
        "sampler": "k_euler_a",
        "variations": [],
    },
}
COMMAND = '"a hut [fog]" -s 50 -S3031912972 -W 640 -H 512 -C 7.5 -A k_lms -G 0.8'
VALUES: dict[str, Any] = {
    "num_inference_steps": 50,
    "guidance_scale": 7.5,
    "seed": 3031912972,
    "size": (640, 512),
    "prompt": "a hut",
    "negative_prompt": "fog",
}


def read(text: object, name: str = "invokeai_metadata") -> Foreign:
    found = foreign_of({name: text if isinstance(text, str) else json.dumps(text)})
    assert found is not None
    return found


def test_metadata_is_read() -> None:
    found = read(DATA)
    assert found.program == "InvokeAI 5.0.0"
    scheduler = found.given.pop("scheduler")
    assert found.given == {
        "prompt": "a (hut)1.3",
        "negative_prompt": "fog",
        "num_inference_steps": 30,
        "guidance_scale": 7.5,
        "seed": 4294967295,
        "size": (512, 768),
    }
    assert scheduler["name"] == "DPMSolverMultistepScheduler"
    assert scheduler["config"]["use_karras_sigmas"] is True
    assert found.names == {"model": "dreamshaper"}
    assert found.loras == [("paint", 0.75)]
    assert found.grammar == "compel"
    assert found.left == []
    assert [one for one in found.differs if "noise" in one] == []


def test_older_names_of_models_are_read() -> None:
    model = {"model_name": "dreamshaper", "base_model": "sd-1"}
    loras = [{"lora": {"model_name": "paint"}, "weight": 0.5}]
    found = read({**DATA, "model": model, "loras": loras})
    assert found.names == {"model": "dreamshaper"}
    assert found.loras == [("paint", 0.5)]


def test_what_has_no_counterpart_is_told() -> None:
    found = read({
        **DATA,
        "generation_mode": "img2img",
        "strength": 0.6,
        "rand_device": "cuda",
        "controlnets": [{}],
        "seamless_x": True,
        "clip_skip": 1,
        "cfg_rescale_multiplier": 0.7,
    })  # fmt: skip
    assert found.given["strength"] == 0.6
    assert found.given["clip_skip"] == 1
    assert found.given["guidance_rescale"] == 0.7
    assert "its noise was drawn on 'cuda'" in found.differs
    told = ["the images that 'img2img' starts from", "ControlNets", "seamless tiling"]
    assert found.left == told


def test_metadata_of_version_2_is_read() -> None:
    found = read(OLDER, "sd-metadata")
    assert found.program == "InvokeAI v2.2.4"
    assert found.given.pop("scheduler")["name"] == "EulerAncestralDiscreteScheduler"
    assert found.given == VALUES
    assert found.names == {"model": "stable-diffusion-1.4"}


def test_commands_of_version_2_are_read() -> None:
    found = read(COMMAND, "Dream")
    assert found.given.pop("scheduler")["name"] == "LMSDiscreteScheduler"
    assert found.given == VALUES
    assert found.left == ["the options -G"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("invokeai_metadata", "[]"),
        ("invokeai_metadata", "{" * 100_000),
        ("invokeai_metadata", '{"a":' * 100_000),
        ("invokeai_metadata", '{"a":' + "9" * 100_000 + "}"),
        ("sd-metadata", "{}"),
        ("sd-metadata", '{"image": []}'),
        ("Dream", '"no end'),
        ("Dream", ""),
        ("Dream", "a " * 100_000),
    ],
)
def test_others_are_refused(name: str, text: str) -> None:
    with pytest.raises(ArgumentError):
        read(text, name)


SMALL = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.integers(10**30, 10**40),
)  # fmt: skip
ANY = st.recursive(
    SMALL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*DATA, "strength", "refiner_model", "vae"]), ANY))
def test_any_values_are_read(changed: dict[str, Any]) -> None:
    found = read({**DATA, **changed})
    assert json.dumps(found.given, allow_nan=False)


@given(st.dictionaries(st.sampled_from([*OLDER["image"], "strength"]), ANY))
def test_any_older_values_are_read(changed: dict[str, Any]) -> None:
    found = read({**OLDER, "image": {**OLDER["image"], **changed}}, "sd-metadata")
    assert json.dumps(found.given, allow_nan=False)


@given(st.text(max_size=300), st.sampled_from(["invokeai_metadata", "sd-metadata", "Dream"]))
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    with suppress(ArgumentError):
        assert json.dumps(read(text, name).given, allow_nan=False)
