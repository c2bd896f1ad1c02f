"""What `generate` accepts is decided before any work, by words that name the cure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autopipe.cli.names import output_name, single_names
from autopipe.cli.parser import parse
from autopipe.cli.request import Request, Stage, request
from autopipe.discovery import Installed, Plugin
from autopipe.errors import AutopipeError, MissingPluginError
from autopipe.manifest import Component, Condition, Family
from autopipe.registry import Registry
from autopipe.tasks import Task

SCHEDULERS = ("DDIMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler")


def registry(*demos: str) -> Registry:
    parts = tuple(Component(name, "fake:X", kind="scheduler") for name in SCHEDULERS)
    families = [Family("parts", components=(*parts, Component("Net", "fake:Net")))]
    families += [Family(name, demo=f"{name}:demo") for name in demos]
    return Registry(Installed(Plugin(f.name, f"d-{f.name}", "1"), f) for f in families)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "mask.png"):
        Path(name).touch()


def asked(*arguments: str, prompt: str = "A red circle!", table: Registry | None = None) -> Request:
    return request(parse(["generate", prompt, *arguments]), table or registry("zoo"))


@pytest.mark.parametrize(
    ("arguments", "task"),
    [
        ([], Task.TEXT2IMAGE),
        (["--image", "photo.png"], Task.IMAGE2IMAGE),
        (["--image", "photo.png", "--mask", "mask.png"], Task.INPAINT),
        (["--image", "https://example.org/a.png"], Task.IMAGE2IMAGE),
        (["--task", "image-to-image", "--image", "photo.png"], Task.IMAGE2IMAGE),
    ],
)
def test_the_task_follows_from_the_pictures(arguments: list[str], task: Task) -> None:
    assert asked(*arguments).task is task


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mask", "mask.png"], "give --image too"),
        (["--task", "inpaint", "--image", "photo.png"], "needs both --image and --mask"),
        (["--task", "text2image", "--image", "photo.png"], "takes neither --image nor --mask"),
        (["--task", "image2image"], "needs --image"),
        (["--task", "inpant"], "Did you mean 'inpaint'"),
        (["--strength", "0.5"], "give --image too"),
        (["--memory", "much"], "write it as 6GiB, or auto"),
        (["--memory", "auto", "--offload", "model"], "give it or --offload"),
        (["--offload", "disk"], "'model', 'sequential'"),
        (["--offload-folder", "there"], "give that too"),
        (["--steps", "3", "--steps", "4"], "--steps is given 2 times; give it once for --model"),
        (["--image", "foto.png"], "no picture 'foto.png'"),
        (["--controlnet", "demo"], "give --control-image"),
        (["--control-image", "photo.png"], "give --controlnet too"),
        (["--control-scale", "0.5"], "give --controlnet too"),
        (["--controlnet", "demo", "--control-image", "foto.png"], "no picture 'foto.png'"),
        (["--scheduler", "DDIN"], "Did you mean 'DDIM'"),
        (["--scheduler", "nothing like it"], "Installed are: DDIM, EulerAncestralDiscrete"),
        (["-o", "a.jpg"], "Name it 'a.png'"),
        (["-o", "photo.png/a.png"], "is not a folder"),
        (["--size", "0x5"], "empty picture"),
        (["--size", "5by5"], "write it as 512x768"),
        (["--strength", "1.5", "--image", "photo.png"], "not between 0 and 1"),
        (["--guidance", "nan"], "not a number"),
        (["--steps", "0"], "not between 1"),
        (["--seed", "-1"], "not between 0"),
        (["--stps", "3"], "Did you mean '--steps'"),
        (["circle"], "in quotes"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(AutopipeError, match=re.escape(words)):
        asked(*arguments)


@pytest.mark.parametrize("name", ["EulerDiscrete", "EulerDiscreteScheduler", "eulerdiscrete"])
def test_a_scheduler_goes_by_its_name_with_or_without_scheduler(name: str) -> None:
    assert asked("--scheduler", name).scheduler == "EulerDiscreteScheduler"


def test_what_is_not_given_is_left_to_the_pipeline() -> None:
    plain = asked()
    for name in ("negative", "steps", "guidance", "strength", "size", "scheduler", "dtype"):
        assert getattr(plain, name) is None


def test_values_are_parsed() -> None:
    full = asked("--size", "64X32", "--steps", "3", "--guidance", "-1.5", "--seed", "9")
    assert (full.size, full.steps, full.guidance, full.seed) == ((64, 32), 3, -1.5, 9)
    assert asked("--size", "48").size == (48, 48)


def test_settings_given_again_are_for_the_stages_that_enlarge() -> None:
    line = ["--upscale", "two", "--upscale", "three", "--steps", "9", "--steps", "5"]
    full = asked(*line, "--scheduler", "DDIM", "--scheduler", "EulerDiscrete", "--size", "64")
    assert (full.steps, full.scheduler, full.size) == (9, "DDIMScheduler", (64, 64))
    assert full.upscale == (
        Stage(model="two", steps=5, scheduler="EulerDiscreteScheduler"),
        Stage(model="three"),
    )


def test_without_a_seed_each_run_draws_its_own() -> None:
    assert len({asked().seed for _ in range(8)}) > 1


def test_the_model_is_the_demo_of_an_installed_family() -> None:
    assert asked().model == "demo:zoo"
    assert asked(table=registry("alpha", "stable_diffusion")).model == "demo:stable_diffusion"
    assert asked("--model", "./mine", table=registry()).model == "./mine"


def test_without_any_demo_the_error_has_the_pip_line() -> None:
    with pytest.raises(MissingPluginError, match="pip install autopipe-stable-diffusion"):
        asked(table=registry())


def test_a_name_made_of_the_prompt_is_always_a_new_one() -> None:
    first = output_name(None, "A red circle!", 7, 1)
    assert first == Path("a-red-circle-7.png")
    first.touch()
    second = output_name(None, "A red circle!", 7, 1)
    assert second != first
    assert not second.exists()
    single_names(second, 2)[1].touch()
    assert not any(p.exists() for p in single_names(output_name(None, "A red circle!", 7, 2), 2))


def test_names_asked_for_are_taken() -> None:
    assert output_name("photo.png", "x", 1, 1) == Path("photo.png")
    assert output_name("new/deep/a.PNG", "x", 1, 1) == Path("new/deep/a.PNG")
    assert output_name("circle", "x", 1, 1) == Path("circle.png")
    assert output_name(".", "x", 1, 1) == Path("x-1.png")
    assert output_name("made/", "赤い丸", 1, 1) == Path("made/picture-1.png")


def test_a_prompt_names_no_folder() -> None:
    name = output_name(None, "../../etc/passwd " * 20, 1, 1)
    assert name.parent == Path()
    assert len(name.name) < 80


def test_several_pictures_stand_beside_their_sheet() -> None:
    assert single_names(Path("d/a.png"), 1) == [Path("d/a.png")]
    assert single_names(Path("d/a.png"), 2) == [Path("d/a-1.png"), Path("d/a-2.png")]


def test_a_controlnet_is_a_model_or_that_of_the_demo() -> None:
    found = asked("--controlnet", "demo", "--control-image", "photo.png", "--control-scale", "0.5")
    assert (found.controlnet, found.control_image) == ("demo:controlnet", "photo.png")
    assert found.control_scale == 0.5
    assert asked("--controlnet", "a/b", "--control-image", "photo.png").controlnet == "a/b"
    assert asked().controlnet is None


def test_the_demo_of_a_condition_is_no_checkpoint() -> None:
    condition = Family("net", demo="net:demo", conditions=(Condition("net", keyword="net"),))
    with pytest.raises(MissingPluginError, match="--model"):
        asked(table=Registry([Installed(Plugin("net", "d-net", "1"), condition)]))
