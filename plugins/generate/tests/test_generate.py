"""`generate` around a pipeline that draws plain squares: what it gets, and what is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import PIL.Image
import pytest
import torch
from support.records import settings_in
from support.relay import relay

from autopipe.cli import main
from autopipe.errors import ArgumentError, PlacementError
from autopipe.manifest import Component, Condition, Family, Pipeline
from autopipe.outputs import BaseOutput
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Input, Task
from autopipe_generate import command as generate
from autopipe_requests import checking, completing, opening
from autopipe_requests.placement import Placement
from autopipe_requests.request import Checkpoint, Request


@dataclass
class Drawn(BaseOutput):
    images: list[PIL.Image.Image]
    nsfw_content_detected: list[bool] | None = None


class Painter:
    """A stand-in for a pipeline: it remembers its call, and draws in a shade of the first noise."""

    dtype, _execution_device = torch.float32, torch.device("cpu")
    called: dict[str, Any]

    def __init__(self) -> None:
        self.scheduler = SimpleNamespace()
        self.bar: dict[str, Any] = {}
        self.flags: list[bool] | None = None
        self.origins = {"": "demo:toys"}
        self.returned: list[PIL.Image.Image] = []

    attachments: ClassVar[dict[str, Any]] = {}

    def to(self, device: torch.device) -> None:
        assert device.type == "cpu"

    def fit_memory(self, budget: str, *, device: torch.device, offload_folder: None) -> None:
        assert budget == "6GiB"

    def set_progress_bar_config(self, **options: Any) -> None:
        self.bar = options

    def _draw(self, given: dict[str, Any], size: tuple[int, int]) -> SimpleNamespace:
        self.called = {name: value for name, value in given.items() if value is not None}
        generators = given["generator"]
        if not isinstance(generators, list):
            generators = [generators]
        shades = [int(torch.randint(256, (), generator=g)) for g in generators]
        self.returned = [PIL.Image.new("RGB", size, (shade, 0, 0)) for shade in shades]
        return Drawn(images=self.returned, nsfw_content_detected=self.flags)


class TextPainter(Painter):
    def __call__(
        self, prompt, height=None, width=None, num_inference_steps=50, guidance_scale=7.5,
        negative_prompt=None, num_images_per_prompt=1, generator=None, output_type="pil",
    ):  # fmt: skip
        return self._draw(locals(), (width or 8, height or 8))


class ImagePainter(Painter):
    def __call__(
        self, prompt, image, strength=0.8, num_inference_steps=50, guidance_scale=7.5,
        negative_prompt=None, num_images_per_prompt=1, generator=None, output_type="pil",
    ):  # fmt: skip
        return self._draw(locals(), (image[0] if isinstance(image, list) else image).size)


class MaskPainter(Painter):
    def __call__(
        self, prompt, image, mask_image, height=None, width=None, strength=1.0,
        num_inference_steps=50, guidance_scale=7.5, negative_prompt=None,
        num_images_per_prompt=1, generator=None, paste_unmasked=False,
    ):  # fmt: skip
        return self._draw(locals(), image.size)


class HintPainter(TextPainter):
    def __call__(
        self, prompt, hint_image, hinting_scale: float | list[float] = 1.0, *,
        num_inference_steps=50, guidance_scale=7.5, generator=None, output_type="pil",
    ):  # fmt: skip
        return self._draw(locals(), hint_image.size)


PAINTERS = {Task.TEXT2IMAGE: TextPainter, Task.IMAGE2IMAGE: ImagePainter, Task.INPAINT: MaskPainter}
FAMILY = Family(
    "zoo",
    pipelines=(
        *(Pipeline(c.__name__, f"{__name__}:{c.__name__}", t, "zoo") for t, c in PAINTERS.items()),
        Pipeline(
            "HintPainter", f"{__name__}:HintPainter", "text2image", "zoo", frozenset({"hint"})
        ),
    ),
    components=(Component("DDIMScheduler", "zoo:DDIM", kind="scheduler"),),
    conditions=(
        Condition(
            "hint",
            keyword="hint",
            target=f"{__name__}:Hint",
            inputs=(
                Input("hint_image", "image", help="what to follow"),
                Input("hinting_scale", "number", option="hint-scale", required=False),
            ),
        ),
    ),
)
DEMO = Family(
    "toys",
    pipelines=(Pipeline("ToyPainter", f"{__name__}:TextPainter", "text2image", "toys"),),
    demo="toys:demo",
)
REGISTRY = Registry(Installed(Plugin(f.name, f"autopipe-{f.name}", "1"), f) for f in (FAMILY, DEMO))


def open_checkpoint(
    name: str, registry: Registry, revision: str | None = None, *, local_only: bool = False
) -> SimpleNamespace:
    commit = {"repo": "c0ffee", "two": "beef"}.get(name)
    return SimpleNamespace(index=SimpleNamespace(class_name="TextPainter"), commit=commit)


@pytest.fixture(autouse=True)
def painters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Task, Painter]:
    made = {task: cls() for task, cls in PAINTERS.items()}

    def load(asked: Request, registry: Registry, *, local_only: bool = False) -> Painter:
        return made.setdefault("hint", HintPainter()) if asked.conditions else made[asked.task]

    def identified(named: Checkpoint, *_: object) -> dict[str, Checkpoint]:
        return {"checkpoint": named}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generate, "default_registry", lambda: REGISTRY)
    monkeypatch.setattr(completing.checkpoints, "open_checkpoint", open_checkpoint)
    monkeypatch.setattr(checking, "identified", identified)
    monkeypatch.setattr(opening, "load", load)
    PIL.Image.new("RGBA", (10, 6), "blue").save("photo.png")
    PIL.Image.new("L", (10, 6), 255).save("mask.png")
    return made


def test_the_file_asked_for_is_written_and_printed(capsys) -> None:
    assert main(["generate", "a cat", "--seed", "5", "-o", "cat.png"]) == 0
    assert capsys.readouterr().out == "cat.png\n"
    assert [p.name for p in Path().glob("cat*")] == ["cat.png"]


def test_only_what_was_given_is_passed_on(painters) -> None:
    assert main(["generate", "a cat"]) == 0
    called = painters[Task.TEXT2IMAGE].called
    assert called.pop("generator").initial_seed() < 2**32
    defaults = {"num_inference_steps": 50, "guidance_scale": 7.5, "num_images_per_prompt": 1}
    assert {k: v for k, v in called.items() if k in ("prompt", *defaults)} == {
        "prompt": "a cat", **defaults,
    }  # fmt: skip
    assert not {"height", "width", "negative_prompt", "strength"} & set(called)


def test_everything_given_reaches_the_pipeline(painters) -> None:
    line = ["--negative", "dog", "--steps", "3", "--guidance", "2", "--strength", "0.25"]
    line += ["--size", "4x2", "--seed", "9", "--image", "photo.png", "--mask", "mask.png"]
    assert main(["generate", "a cat", *line]) == 0
    called = painters[Task.INPAINT].called
    assert called["image"].size == called["mask_image"].size == (4, 2)
    assert (called["image"].mode, called["mask_image"].mode) == ("RGB", "L")
    assert called["generator"].initial_seed() == 9
    expected = {
        "prompt": "a cat", "negative_prompt": "dog", "num_inference_steps": 3,
        "guidance_scale": 2.0, "strength": 0.25, "width": 4, "height": 2, "paste_unmasked": True,
    }  # fmt: skip
    assert expected.items() <= called.items()


def test_a_size_makes_the_image_fit_where_the_pipeline_takes_none(painters) -> None:
    assert main(["generate", "a cat", "--image", "photo.png", "--size", "4x2"]) == 0
    assert painters[Task.IMAGE2IMAGE].called["image"].size == (4, 2)


def test_unmasked_pixels_may_change_if_asked(painters) -> None:
    line = ["--image", "photo.png", "--mask", "mask.png", "--no-paste-unmasked"]
    assert main(["generate", "a cat", *line]) == 0
    assert painters[Task.INPAINT].called["paste_unmasked"] is False


def test_the_settings_stand_in_the_file() -> None:
    line = ["--image", "photo.png", "--seed", "3", "--steps", "7", "-o", "a.png"]
    assert main(["generate", "a cat", "--negative", "", *line]) == 0
    found = settings_in("a.png")
    expected = {
        "prompt": "a cat", "seed": 3, "steps": 7, "guidance": 7.5,
        "strength": 0.8, "scheduler": "SimpleNamespace", "model": "demo:toys",
        "task": "image2image", "class": "ImagePainter", "image": "photo.png", "dtype": "float32",
        "device": "cpu", "torch": torch.__version__,
    }  # fmt: skip
    assert {k: found.get(k) for k in expected} == expected
    assert "autopipe-core" in found


def test_settings_that_play_no_part_are_left_out() -> None:
    assert main(["generate", "a cat", "-o", "a.png"]) == 0
    assert not {"strength", "negative_prompt", "image", "mask"} & set(settings_in("a.png"))


def test_the_commit_of_a_repository_is_kept() -> None:
    assert main(["generate", "a cat", "--model", "repo", "-o", "a.png"]) == 0
    assert settings_in("a.png")["revision"] == "c0ffee"


def test_the_other_stages_of_a_chain_are_kept_with_their_commits(painters) -> None:
    painters[Task.TEXT2IMAGE].origins = {"": "owner/decoder@beef", "prior": "owner/prior@c0ffee"}
    assert main(["generate", "a cat", "-o", "a.png"]) == 0
    assert settings_in("a.png")["prior"] == "owner/prior@c0ffee"


def test_each_of_several_pictures_can_be_made_again_by_its_own_seed(capsys) -> None:
    assert main(["generate", "a cat", "--num-images", "3", "--seed", "5", "-o", "cat.png"]) == 0
    names = ["cat-1.png", "cat-2.png", "cat-3.png", "cat.png"]
    assert capsys.readouterr().out.split() == names
    assert [settings_in(n)["seed"] for n in names[:3]] == [5, 6, 7]
    with pytest.raises(ArgumentError, match="contact sheet of 3 results"):
        settings_in("cat.png")
    with PIL.Image.open("cat.png") as sheet:
        assert sheet.size == (16, 16)
    assert main(["generate", "a cat", "--seed", "6", "-o", "again.png"]) == 0
    with PIL.Image.open("again.png") as again, PIL.Image.open("cat-2.png") as second:
        assert again.tobytes() == second.tobytes()


def test_without_a_seed_the_one_drawn_is_kept(painters) -> None:
    assert main(["generate", "a cat", "-o", "a.png"]) == 0
    drawn = painters[Task.TEXT2IMAGE].called["generator"].initial_seed()
    assert settings_in("a.png")["seed"] == drawn


def test_json_has_files_and_settings(capsys) -> None:
    assert main(["generate", "a cat", "--num-images", "2", "--seed", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["seed"] for f in found] == [1, 2, "1 to 2"]
    for entry in found[:2]:
        assert settings_in(entry["file"])["prompt"] == entry["prompt"] == "a cat"


def test_quiet_is_silent(painters, capsys) -> None:
    assert main(["generate", "a cat", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert painters[Task.TEXT2IMAGE].bar["disable"] is True
    assert main(["generate", "a cat"]) == 0
    assert not painters[Task.TEXT2IMAGE].bar["disable"]


def test_black_pictures_of_a_safety_checker_are_explained(painters, capsys) -> None:
    painters[Task.TEXT2IMAGE].flags = [False, True]
    assert main(["generate", "a cat", "--num-images", "2"]) == 0
    assert "made image 2 black" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_bad_picture_is_an_error_in_words(content: bytes, capsys) -> None:
    Path("bad.png").write_bytes(content)
    assert main(["generate", "a cat", "--image", "bad.png"]) == 2
    assert "bad.png" in capsys.readouterr().err


def test_stopping_leaves_no_file(painters, monkeypatch, capsys) -> None:
    def stop(self: object, given: object, size: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "_draw", stop)
    before = set(Path().iterdir())
    assert main(["generate", "a cat"]) == 130
    assert set(Path().iterdir()) == before


def test_a_device_that_is_not_there_is_an_error_in_words(capsys) -> None:
    assert Placement(device="cpu").target().type == "cpu"
    with pytest.raises(PlacementError, match=r"'cuda:99' is not available.*cpu"):
        Placement(device="cuda:99").target()
    with pytest.raises(ArgumentError, match="device='gpu' is not a device"):
        Placement(device="gpu").target()
    assert main(["generate", "a cat", "--device", "cuda:99"]) == 2
    assert "'cuda:99' is not available" in capsys.readouterr().err


def test_offloading_needs_an_accelerator_or_a_device(monkeypatch) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: None)
    assert Placement().target().type == "cpu"
    assert Placement(offload="model", device="cpu").target().type == "cpu"
    with pytest.raises(PlacementError, match="torch finds none"):
        Placement(offload="model").target()


def test_the_inputs_of_a_condition_reach_the_pipeline_and_the_settings(painters) -> None:
    line = ["--hint", "nets/edges", "--hint-image", "photo.png"]
    assert main(["generate", "a cat", *line, "--hint-scale", "0.5", "-o", "cat.png"]) == 0
    called = painters["hint"].called
    assert (called["hint_image"].size, called["hint_image"].mode) == ((10, 6), "RGB")
    assert called["hinting_scale"] == 0.5
    found = settings_in("cat.png")
    assert (found["hint"], found["hint_image"]) == ("nets/edges", "photo.png")
    assert found["hinting_scale"] == 0.5
    assert main(["generate", "a cat", *line, "-o", "cat.png"]) == 0
    assert settings_in("cat.png")["hinting_scale"] == 1.0, "the pipeline's default"


def test_what_was_made_is_enlarged_stage_by_stage(painters, monkeypatch) -> None:
    made = {name: ImagePainter() for name in ("two", "three")}
    monkeypatch.setattr("autopipe_components.cascade.load_stage", lambda name, **_: made[name])
    line = ["--upscale", "two", "--upscale", "three", "--num-images", "2"]
    line += ["--steps", "9", "--steps", "5", "--guidance", "2"]
    assert main(["generate", "a cat", *line, "--negative", "dog", "-o", "cat.png", "-q"]) == 0
    first = painters[Task.TEXT2IMAGE].called
    assert (first["prompt"], first["num_inference_steps"]) == (["a cat"] * 2, 9)
    for stage in made.values():
        assert stage.called["prompt"] == ["a cat"] * 2
        assert stage.called["negative_prompt"] == ["dog"] * 2
        assert stage.called["guidance_scale"] == 7.5
        assert stage.called["num_images_per_prompt"] == 1, "pictures are made once"
        assert stage.bar == {"desc": "upscale", "disable": True}
    assert made["three"].called["image"] is made["two"].returned
    assert [made[n].called["num_inference_steps"] for n in ("two", "three")] == [5, 50]
    found = settings_in("cat-1.png")
    assert (found["upscale"], found["upscale_steps"]) == (["two", "three"], [5, 50])
    assert (found["steps"], found["guidance"]) == (9, 2.0)
    assert found["upscale_guidance"] == [7.5, 7.5]


@pytest.mark.parametrize(
    ("settings", "head"),
    [
        ({}, "resident on cpu"),
        ({"memory": "auto"}, "resident on cpu"),
        ({"memory": "300", "offload_folder": "offloaded"}, "device map on cpu"),
        ({"offload": "model"}, "model offload on cpu"),
        ({"offload": "sequential"}, "sequential offload on cpu"),
    ],
)
def test_networks_are_placed_as_asked(settings: dict[str, Any], head: str) -> None:
    pipe = relay()
    Placement(device="cpu", **settings).place(pipe)
    assert pipe.explain().startswith(f"RelayPipeline: {head}, 408 B")


def test_a_budget_is_for_all_stages_together() -> None:
    first, second = relay(), relay()
    placement = Placement(device="cpu", memory="500")
    placement.place(first)
    placement.place(second, [first])
    assert "memory='500' on cpu allows 500 B" in first.explain()
    assert "allows 92 B" in second.explain()


def test_the_placement_is_told(painters, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Painter, "explain", lambda self: "in pieces", raising=False)
    assert main(["generate", "a cat", "--memory", "6GiB"]) == 0
    assert "in pieces" in capsys.readouterr().err
    assert main(["generate", "a cat", "--memory", "6GiB", "-q"]) == 0
    assert capsys.readouterr().err == ""
