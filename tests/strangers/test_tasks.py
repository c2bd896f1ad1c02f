"""Tasks that the core has never heard of, and components that several strangers list."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autopipe as house
from autopipe.errors import UnsupportedCheckpointError
from conftest import Run

INSTALLED = ("clips", "shapes")


def seeded(number: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def edit_folder(installed: None) -> str:
    return str(files("autopipe_shapes") / "demo_edit")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGB", (16, 16), "red")
    image.paste("blue", (0, 0, 8, 16))
    image.save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("name", INSTALLED)
def test_the_conformance_kit_passes_it(suite: Run, name: str) -> None:
    suite(name)


# In Python


def test_a_task_is_there_by_its_names() -> None:
    task = house.Task("text2video")
    assert house.Task.parse("text-to-video") is task
    assert (task.output, task.auto_class) == ("frames", "AutoPipelineForTextToVideo")
    assert {"text2video", "unconditional", "edit"} <= set(house.Task)
    assert "AutoPipelineForTextToVideo" in dir(house)


def test_video_from_a_text() -> None:
    pipe = house.AutoPipelineForTextToVideo.from_pretrained("demo:clips")
    assert type(pipe).__name__ == "ClipsPipeline"
    (clip,) = pipe("a dog runs", num_frames=3, generator=seeded()).frames
    assert [frame.size for frame in clip] == [(8, 8)] * 3
    again = house.AutoPipelineForTextToVideo.from_pipe(pipe)
    assert again.network is pipe.network
    assert again("a dog runs", num_frames=3, generator=seeded()).frames == [clip]
    assert again("rain", num_frames=3, generator=seeded()).frames != [clip]


def test_pictures_from_nothing() -> None:
    pipe = house.AutoPipelineForUnconditional.from_pretrained("demo:shapes")
    first, second = pipe(2, generator=seeded()).images
    assert first.size == (8, 8)
    assert first != second


def test_one_class_for_two_tasks(edit_folder: str, picture: Path) -> None:
    edit = house.AutoPipelineForEditing.from_pretrained(edit_folder)
    change = house.AutoPipelineForImage2Image.from_pipe(edit)
    assert type(change) is type(edit) is house.ShapesEditPipeline
    image = Image.open(picture)
    assert edit("darker", image, generator=seeded()).images[0].size == (16, 16)
    same = change("darker", image, strength=0.0).images[0]
    assert np.array_equal(np.asarray(same), np.asarray(image))
    with pytest.raises(UnsupportedCheckpointError, match=r"ShapesEditPipeline \(edit\)"):
        house.AutoPipelineForInpainting.from_pipe(change)


# The engine


def test_an_engine_by_its_name(edit_folder: str, picture: Path, caplog: Any) -> None:
    edit = house.AutoPipelineForEditing.from_pretrained(edit_folder)
    image = Image.open(picture)
    plain = edit("darker", image, generator=seeded(), output_type="np").images
    edit.use_engine("traced")
    traced = edit("darker", image, generator=seeded(), output_type="np").images
    assert np.array_equal(traced, plain)  # the same kernels, in the same order
    assert dict(edit.engines) == {"text_encoder": "traced", "network": "traced"}
    assert "traced doesn't run text_encoder now: it is for shapes alone" in caplog.text
    assert "network now" not in caplog.text


# Shared components


def test_a_scheduler_that_several_list_is_one_class() -> None:
    video = house.AutoPipelineForTextToVideo.from_pretrained("demo:clips")
    shapes = house.AutoPipelineForUnconditional.from_pretrained("demo:shapes")
    assert house.registry.problems == ()
    assert type(video.scheduler) is type(shapes.scheduler) is house.DDIMScheduler


def test_a_claim_of_a_class_of_transformers_holds_for_the_own_lines_alone(
    edit_folder: str, tmp_path: Path
) -> None:
    from transformers import Qwen3Model

    def class_of(checkpoint: str) -> str:
        found = type(house.DiffusionPipeline.from_pretrained(checkpoint).text_encoder)
        assert issubclass(found, Qwen3Model)
        return found.__name__

    assert class_of("demo:clips") == "ClipsReader"
    assert class_of(edit_folder) == "Qwen3Model"

    other = tmp_path / "other"
    shutil.copytree(files("autopipe_stable_diffusion") / "demo", other)
    index: dict[str, Any] = json.loads((other / "model_index.json").read_text("utf-8"))
    index["text_encoder"] = ["transformers", "Qwen3Model"]
    (other / "model_index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(UnsupportedCheckpointError, match="Qwen3Model of transformers"):
        house.DiffusionPipeline.from_pretrained(other)


# On the command line


def test_doctor_and_families(autopipe: Run) -> None:
    found = json.loads(autopipe("doctor", "--json"))
    assert (found["findings"], found["ok"]) == ([], True)
    families = {f["name"]: f for f in json.loads(autopipe("families", "--json"))}
    assert families["clips"]["tasks"] == ["text2video"]
    assert sorted(families["shapes"]["tasks"]) == ["edit", "image2image", "unconditional"]
    assert "autopipe-clips" in autopipe("families")


def test_resolve_and_inspect(autopipe: Run, edit_folder: str) -> None:
    found = json.loads(autopipe("resolve", "demo:clips", "--task", "text-to-video", "--json"))
    assert (found["class"], found["package"]) == ("ClipsPipeline", "autopipe-clips")
    found = json.loads(autopipe("resolve", edit_folder, "--task", "image2image", "--json"))
    assert (found["class"], found["tasks"]) == ("ShapesEditPipeline", ["edit", "image2image"])
    assert "image2image" in autopipe("resolve", "demo:clips", "--task", "image2image", code=2)
    shown = autopipe("inspect", "demo:clips")
    assert "ClipsNetwork" in shown
    assert "text2video" in shown


def test_generate_writes_a_video_as_gif(autopipe: Run, tmp_path: Path) -> None:
    clip = tmp_path / "clip.gif"
    autopipe("generate", "a dog runs", "--model", "demo:clips", "--set", "num_frames=6", "-o", clip)
    with Image.open(clip) as animation:
        assert (animation.n_frames, animation.size) == (6, (8, 8))


def test_generate_needs_no_prompt_where_the_task_has_none(autopipe: Run, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    autopipe("generate", "--model", "demo:shapes", "--steps", "2", "--seed", "1", "-o", drawn)
    pipe = house.AutoPipelineForUnconditional.from_pretrained("demo:shapes")
    expected = pipe(num_inference_steps=2, generator=seeded()).images[0]
    assert np.array_equal(np.asarray(Image.open(drawn)), np.asarray(expected))
    refused = autopipe("generate", "a dog", "--model", "demo:shapes", code=2)
    assert "unconditional" in refused
    assert "PROMPT" in refused


def test_generate_with_one_class_for_both_of_its_tasks(
    autopipe: Run, tmp_path: Path, edit_folder: str, picture: Path
) -> None:
    made = {}
    for task, more in (("edit", ()), ("image2image", ("--strength", "0.5"))):
        told = autopipe(
            "generate", "darker", "--model", edit_folder, "--task", task, "--image", picture,
            *more, "--seed", "1", "-o", tmp_path / f"{task}.png", "--json", "-q",
        )  # fmt: skip
        (found,) = json.loads(told)
        assert (found["task"], found["class"]) == (task, "ShapesEditPipeline")
        made[task] = np.asarray(Image.open(found["file"]))
    assert not np.array_equal(made["edit"], made["image2image"])


def test_what_a_task_made_is_drawn_again_to_the_last_bit(
    autopipe: Run, tmp_path: Path, edit_folder: str, picture: Path
) -> None:
    lines = {
        "clip.gif": ("a dog runs", "--model", "demo:clips", "--set", "num_frames=6"),
        "drawn.png": ("--model", "demo:shapes", "--steps", "2"),
        "drawn.jpg": ("--model", "demo:shapes", "--steps", "2"),
        "drawn.webp": ("--model", "demo:shapes", "--steps", "2"),
        "edited.png": ("darker", "--model", edit_folder, "--task", "edit", "--image", picture),
        "traced.png": ("--model", "demo:shapes", "--engine", "traced"),
    }
    for name, line in lines.items():
        autopipe("generate", *line, "--seed", "3", "-q", "-o", tmp_path / name)
        told = autopipe("replay", tmp_path / name, "--check", "-q")
        assert told.splitlines()[-1] == "the same, to the last bit"
        assert "Not as it was drawn" not in told
    autopipe("replay", tmp_path / "clip.gif", "-q")
    with Image.open(tmp_path / "clip-replay.gif") as animation:
        assert animation.n_frames == 6


def test_a_task_has_a_schema(autopipe: Run) -> None:
    tasks = autopipe("schema")
    assert "text2video" in tasks
    assert "unconditional" in tasks
    schema = json.loads(autopipe("schema", "text2video"))
    assert schema["properties"]["task"]["const"] == "text2video"
    arguments = schema["$defs"]["ClipsPipelineArguments"]
    assert arguments["required"] == ["prompt"]
    frames = arguments["properties"]["num_frames"]
    assert (frames["type"], frames["default"]) == ("integer", 4)
    assert json.loads(autopipe("schema", "--model", "demo:clips")) == schema
