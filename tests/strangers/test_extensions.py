"""A plugin of add-ons, a condition on another stranger's line, and commands, one of them broken."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autopipe as house
from autopipe.errors import ArgumentTypeError
from conftest import Run

INSTALLED = ("clips", "shapes", "inks")

PROMPT = "a red++ circle on a white background"
NAMES = ("low_rank", "repeated", "emphasis")


def test_the_conformance_kit_passes_it(suite: Run) -> None:
    suite("inks")


# The condition


@pytest.fixture
def sketch(tmp_path: Path) -> Path:
    image = Image.new("RGB", (16, 16))
    image.paste("white", (4, 4, 12, 12))
    image.save(tmp_path / "sketch.png")
    return tmp_path / "sketch.png"


def test_the_condition_in_python(sketch: Path) -> None:
    plain = house.AutoPipelineForUnconditional.from_pretrained("demo:shapes")
    network = house.SketchNetwork.from_pretrained("demo:inks")
    led = house.AutoPipelineForUnconditional.from_pipe(plain, sketch=network)
    assert type(led) is house.ShapesSketchPipeline
    assert led.network is plain.network
    led(Image.open(sketch), sketch_scale=0.5)
    back = house.AutoPipelineForUnconditional.from_pipe(led, sketch=None)
    assert type(back) is type(plain)


def test_the_condition_on_the_command_line(autopipe: Run, tmp_path: Path, sketch: Path) -> None:
    def drawn(name: str, *options: Any) -> np.ndarray:
        file = tmp_path / f"{name}.png"
        autopipe("generate", "--model", "demo:shapes", "--seed", "1", "-q", "-o", file, *options)
        return np.asarray(Image.open(file))

    led = ("--sketch", "demo", "--sketch-image", sketch)
    plain, without = drawn("plain"), drawn("without", *led, "--sketch-scale", "0")
    assert np.array_equal(plain, without)
    assert not np.array_equal(plain, drawn("led", *led))
    helped = autopipe("generate", "--help")
    assert "a network that reads sketches" in helped
    assert "--sketch-image FILE" in helped


def test_the_inputs_of_a_condition_need_it(autopipe: Run, sketch: Path) -> None:
    refused = autopipe("generate", "--model", "demo:shapes", "--sketch-image", sketch, code=2)
    assert "--sketch-image needs --sketch" in refused
    refused = autopipe("generate", "--model", "demo:shapes", "--sketch", "demo", code=2)
    assert "what the shapes follow" in refused


# Commands


def test_a_command(autopipe: Run) -> None:
    assert autopipe("greet", "Ada") == "Hello, Ada\n"
    assert "whom to greet" in autopipe("greet", "--help")


def test_a_broken_command_harms_no_other(autopipe: Run) -> None:
    listed = autopipe("--help")
    assert "say hello" in listed
    assert "never works" in listed
    broken = autopipe("smudge", code=2)
    assert "the ink has run out" in broken
    assert "autopipe_inks" in broken
    assert "Traceback" not in broken
    assert autopipe("greet", "Ada") == "Hello, Ada\n"
    assert json.loads(autopipe("doctor", "--json"))["ok"]


# Add-ons


@pytest.fixture
def pipe() -> Any:
    loaded = house.AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    loaded.set_progress_bar_config(disable=True)
    return loaded


def draw(pipe: Any, **arguments: Any) -> np.ndarray:
    seed = torch.Generator().manual_seed(1)
    options = {"num_inference_steps": 3, "output_type": "np", **arguments}
    return pipe(PROMPT, generator=seed, **options).images


def test_add_ons_by_name_together_in_eight_threads_are_bitwise_serial(pipe: Any) -> None:
    plain = draw(pipe)
    pipe.attach("low_rank", component="unet", suffix="attn2.to_k", seed=3)
    pipe.attach("repeated")
    pipe.attach("emphasis", strength=0.5)
    assert dict(pipe.attachments) == {"low_rank": 1.0, "repeated": 1.0, "emphasis": 0.5}
    calls = [
        {"low_rank": number / 8, "repeated": number % 2, "emphasis": 1 - number / 8}
        for number in range(8)
    ]
    serial = [draw(pipe, adapters=one) for one in calls]
    assert len({picture.tobytes() for picture in [plain, *serial]}) == 9
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda one: draw(pipe, adapters=one), calls))
    assert all(map(np.array_equal, drawn, serial))
    for name in NAMES:
        pipe.detach(name)
    assert np.array_equal(draw(pipe), plain)


def test_add_ons_of_one_stranger_act_in_the_pipeline_of_another() -> None:
    pipe = house.AutoPipelineForTextToVideo.from_pretrained("demo:clips")

    def clip(**arguments: Any) -> np.ndarray:
        seed = torch.Generator().manual_seed(1)
        return pipe("a dog++ runs", generator=seed, output_type="np", **arguments).frames

    plain = clip()
    pipe.attach("low_rank", component="network", suffix="tell")
    pipe.attach("repeated")
    pipe.attach("emphasis")
    acting = [clip(adapters={name: 1.0}).tobytes() for name in NAMES]
    assert len({plain.tobytes(), clip().tobytes(), *acting}) == 5
    assert np.array_equal(clip(adapters={}), plain)


def test_an_input_of_an_add_on_belongs_to_it(pipe: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="belongs to the add-on 'repeated'"):
        draw(pipe, keep_every=1)
    plain = draw(pipe)
    pipe.attach("repeated")
    assert np.array_equal(draw(pipe, keep_every=1), plain)
    assert not np.array_equal(draw(pipe), plain)


def test_add_ons_on_the_command_line(autopipe: Run, tmp_path: Path, pipe: Any) -> None:
    file = tmp_path / "drawn.png"
    attached = [option for name in NAMES for option in ("--attach", name)]
    told = autopipe(
        "generate", PROMPT, "--model", "demo:stable_diffusion", "--steps", "4", "--seed", "1",
        *attached, "--keep-every", "4", "-o", file, "--json", "-q",
    )  # fmt: skip
    (found,) = json.loads(told)
    assert (found["attach"], found["keep_every"]) == ([*NAMES], 4)
    for name in NAMES:
        pipe.attach(name)
    expected = draw(pipe, num_inference_steps=4, keep_every=4, output_type="pil")[0]
    assert np.array_equal(np.asarray(Image.open(file)), np.asarray(expected))
    unknown = autopipe("generate", PROMPT, "--attach", "low_rnak", code=2)
    assert "low_rank" in unknown
