"""The command line generates pictures with the installed families and their demos."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import PIL.Image
import PIL.ImageChops
import pytest
from support.demos import DEMOS, networks, tasks
from support.records import settings_in

from autopipe.checkpoint.address import demo_folder
from autopipe.cli import main
from autopipe.registry import default_registry

each_demo = pytest.mark.parametrize("demo", DEMOS)
RED = "a red circle on a white background"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def run(*line: str, code: int = 0) -> None:
    assert main(list(line)) == code


def reddish(image: PIL.Image.Image) -> float:
    """Return the share of pixels that are clearly red."""
    pixels = list(image.convert("RGB").getdata())
    return sum(r > g + 80 and r > b + 80 for r, g, b in pixels) / len(pixels)


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("drawn") / "circle.png"
    assert main(["generate", RED, "--seed", "1", "-o", str(file)]) == 0
    return file


def test_without_a_model_the_demo_draws_what_is_asked(circle: Path) -> None:
    with PIL.Image.open(circle) as image:
        found = settings_in(circle)
        assert (found["model"], found["prompt"], found["seed"]) == ("demo:stable_diffusion", RED, 1)
        assert 0.05 < reddish(image) < 0.7
        assert min(image.convert("RGB").getpixel((0, 0))) > 180


def test_the_same_seed_is_the_same_picture(circle: Path) -> None:
    run("generate", RED, "--seed", "1", "-o", "again.png", "-q")
    with PIL.Image.open(circle) as first, PIL.Image.open("again.png") as again:
        assert first.tobytes() == again.tobytes()


def test_a_single_file_draws_what_its_folder_draws(circle: Path) -> None:
    run("convert", "demo:stable_diffusion", "-o", "shapes.safetensors")
    demo = ("--config", str(demo_folder("stable_diffusion", default_registry())))
    run("generate", RED, "--seed", "1", "--model", "shapes.safetensors", *demo, "-o", "a.png", "-q")
    with PIL.Image.open(circle) as folder, PIL.Image.open("a.png") as file:
        assert settings_in("a.png")["model"] == "shapes.safetensors"
        assert file.tobytes() == folder.tobytes()


def test_what_completes_a_single_file_is_for_single_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("generate", RED, "--config", "demo:stable_diffusion", code=2)
    assert "--config is for a single file" in capsys.readouterr().err


def test_image_to_image_changes_the_colour(circle: Path) -> None:
    line = ["--image", str(circle), "--strength", "0.8", "--seed", "1", "-o", "blue.png"]
    run("generate", "a blue circle on a white background", *line)
    with PIL.Image.open("blue.png") as image:
        assert settings_in("blue.png")["task"] == "image2image"
        assert reddish(image) < 0.02


def test_inpainting_changes_nothing_outside_the_mask(circle: Path) -> None:
    mask = PIL.Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    mask.save("mask.png")
    line = ["--image", str(circle), "--mask", "mask.png", "--steps", "8", "-o", "inside.png"]
    run("generate", "a green star on a white background", *line)
    with PIL.Image.open("inside.png") as after, PIL.Image.open(circle) as before:
        assert settings_in("inside.png")["task"] == "inpaint"
        changed = PIL.ImageChops.difference(after.convert("RGB"), before.convert("RGB")).getbbox()
    assert changed is not None
    assert changed[2] <= 32


def test_several_pictures_come_with_a_sheet(capsys: pytest.CaptureFixture[str]) -> None:
    run("generate", RED, "--num-images", "3", "--steps", "4", "--seed", "5", "-o", "c.png")
    assert capsys.readouterr().out.split() == ["c-1.png", "c-2.png", "c-3.png", "c.png"]
    with PIL.Image.open("c.png") as sheet, PIL.Image.open("c-1.png") as one:
        assert sheet.size == (2 * one.width, 2 * one.height)


def test_a_scheduler_by_name_takes_the_place_of_the_checkpoints() -> None:
    run("generate", RED, "--scheduler", "eulerdiscrete", "--steps", "4", "-o", "a.png")
    assert settings_in("a.png")["scheduler"] == "EulerDiscreteScheduler"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--model", "no/such/folder/here"], "no/such/folder/here"),
        (["--model", "demo:nothing"], "demo:nothing"),
        (["--size", "50"], "50"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(line: list[str], words: str, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run("generate", RED, *line, code=2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert not list(Path().glob("*.png"))


@pytest.mark.parametrize(
    ("task", "demo"), [(task, demo) for demo in DEMOS for task in (None, *tasks(demo))]
)
def test_resolve_names_class_family_and_reason(demo: str, task: str | None, capsys) -> None:
    line = ["resolve", demo, *(["--task", task] if task else [])]
    run(*line)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    run(*line, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["task"] in ([task] if task else tasks(demo))
    assert found["family"] in default_registry().families
    for value in (found["class"], found["family"], found["package"]):
        assert value in text


def test_the_demo_that_draws_shapes_serves_these_tasks() -> None:
    assert tasks("demo:stable_diffusion") == ["image2image", "inpaint", "text2image"]


@pytest.mark.parametrize(
    ("task", "demo"),
    [
        (task, demo)
        for demo in DEMOS
        for task in sorted({*map(str, default_registry().tasks)} - {*tasks(demo)})
    ],
)
def test_resolve_refuses_a_task_that_the_checkpoint_does_not_serve(
    demo: str, task: str, capsys
) -> None:
    run("resolve", demo, "--task", task, code=2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f" for {task}." in printed.err


@each_demo
def test_inspect_shows_every_component(demo: str, capsys) -> None:
    run("inspect", demo)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    run("inspect", demo, "--json")
    found = json.loads(capsys.readouterr().out)
    weights = [c for c in found["components"] if c["parameters"]]
    assert {c["name"] for c in weights} == networks(demo) >= {"unet"}
    for component in found["components"]:
        assert component["name"] in text
    for component in weights:
        assert component["class"] in text
        assert component["bytes"] == sum(f["bytes"] for f in component["weights"])


def test_the_output_of_every_listing_fits_80_columns(capsys) -> None:
    for line in (["families"], ["doctor"]):
        run(*line)
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_it_runs_in_a_process_of_its_own() -> None:
    line = [sys.executable, "-m", "autopipe", "generate", RED, "--steps", "2", "-o", "a.png"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "a.png\n")
    assert "2/2" in done.stderr
