"""What a stranger's manifest brings is there on the command line, without a word in the core."""

from __future__ import annotations

import argparse
import json
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import PIL.Image
import pytest
import torch

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.cli import main
from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.manifest import AddOn, Command, Component, Condition, Engine, Manifest, Pipeline
from autopipe.modeling import ModelMixin
from autopipe.outputs import BaseOutput, ImagePipelineOutput
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.registry import Registry, register
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Input, Task
from autopipe_generate.family import autopipe_family
from autopipe_requests.pictures import texts_of
from autopipe_requests.record import Record
from autopipe_requests.record import settings as settings_of


class Shade(ModelMixin):
    """One number, which pictures are made of."""

    @register_to_config
    def __init__(self, start: float = 0.25) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(start))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return (self.level + noise).clamp(0, 1)


class Toy(DiffusionPipeline):
    """What the toys share: a network, and squares in a shade of noise."""

    def __init__(self, shade: Shade) -> None:
        self.register_modules(shade=shade)

    def squares(self, shape: tuple[int, ...], generator: Any) -> np.ndarray:
        pixels = self.shade(torch.rand((), generator=generator))
        for attachment, strength in self._active():
            pixels = pixels * 0 + attachment.level * strength * (self.call.get("glow_by") or 1)
        return pixels.expand(shape).detach().float().numpy()


class Glow(Attachment):
    """All pictures are as bright as a file says."""

    inputs = (Input("glow_by", "number", required=False),)

    def __init__(self, source: str = "") -> None:
        self.level = float(Path(source).read_text()) if source else 0.5


class Haste(Attachment):
    """All pictures of one pipeline are dark grey, and done."""

    inputs = (Input("haste_by", "number", required=False),)
    level = 0.25
    fits: ClassVar[tuple[str, ...]] = ("Dream",)

    def check(self, pipe: Any) -> None:
        if type(pipe).__name__ not in self.fits:
            raise ArgumentError(f"{type(pipe).__name__} has no time for {type(self).__name__}")


class Rush(Haste):
    fits = ()
    inputs = ()


class Dark(NetworkEngine):
    """Makes all black."""

    name = "dark"

    def prepare(self, network: Any, method: str) -> Any:
        return lambda noise: noise * 0


class Dream(Toy):
    @pipeline_call
    def __call__(self, num_inference_steps: int = 2, generator: Any = None) -> ImagePipelineOutput:
        return ImagePipelineOutput(self.squares((1, 8, 8, 3), generator))


@dataclass
class Frames(BaseOutput):
    frames: Any
    frame_rate: int = 4


class Film(Toy):
    @pipeline_call
    def __call__(
        self,
        prompt: str | list[str],
        num_frames: int = 3,
        levels: list[float] | None = None,
        mode: Literal["soft", "hard"] = "soft",
        ending: Any = None,
        callback_on_step_end: Any = None,
        generator: Any = None,
    ) -> Frames:
        levels = levels or [i / num_frames for i in range(num_frames)]
        clip = np.stack([np.full((6, 8, 3), level, "float32") for level in levels])
        if ending is not None:
            clip[-1] = np.asarray(ending.resize((8, 6))) / 255
        return Frames(clip[None])


@dataclass
class Sounds:
    """A record of its own kind."""

    audios: Any


class Sing(Toy):
    """Serves two tasks."""

    sampling_rate = 8000

    @pipeline_call
    def __call__(
        self, prompt: str, voice: Any = None, takes: int = 1, generator: Any = None
    ) -> Sounds:
        assert takes == 1 or len(generator) == takes
        loud = 1.0 if voice is None else float(np.abs(voice).max())
        return Sounds(torch.full((takes, 2, 80), 0.5 * loud))


@dataclass
class Levels(BaseOutput):
    levels: torch.Tensor


class Measure(Toy):
    """Serves no task."""

    @pipeline_call
    def __call__(self, image: PIL.Image.Image, bits: int | None = 8) -> Levels:
        return Levels(torch.full((1, bits or 1), image.width, dtype=torch.int64))


class Hinted(Toy):
    def __init__(self, shade: Shade, hint: Shade) -> None:
        self.register_modules(shade=shade, hint=hint)

    @pipeline_call
    def __call__(
        self, hint_image: Any, hint_scale: float = 1.0, generator: Any = None
    ) -> ImagePipelineOutput:
        level = float(self.hint.level) * hint_scale
        return ImagePipelineOutput([PIL.Image.new("L", hint_image.size, round(255 * level))])


HERE = __name__
PROMPT, VOICE = Input("prompt", "text"), Input("voice", "audio", help="100 % of a voice")
MANIFEST = Manifest(
    "strangers",
    tasks=(
        Task(
            "dream",
            auto_class="AutoPipelineForDream",
            parameters=("num_inference_steps", "generator"),
        ),
        Task(
            "text2video",
            auto_class="AutoPipelineForVideo",
            inputs=(PROMPT, Input("num_frames", "number", required=False)),
            parameters=("prompt", "num_frames"),
            output="frames",
            repeats="clips",
        ),
        Task(
            "sing",
            auto_class="AutoPipelineForSinging",
            inputs=(PROMPT,),
            parameters=("prompt",),
            output="audios",
            repeats="takes",
        ),
        Task(
            "sing_along",
            auto_class="AutoPipelineForSingingAlong",
            inputs=(PROMPT, VOICE),
            parameters=("prompt", "voice"),
            output="audios",
        ),
    ),
    pipelines=(
        Pipeline("Dream", f"{HERE}:Dream", "dream", "dream"),
        Pipeline("Film", f"{HERE}:Film", "text2video", "film"),
        Pipeline("Sing", f"{HERE}:Sing", "sing", "sing", also=("sing_along",)),
        Pipeline("Measure", f"{HERE}:Measure"),
        Pipeline("Hinted", f"{HERE}:Hinted", "dream", "dream", frozenset({"hint"})),
    ),
    components=(Component("Shade", f"{HERE}:Shade", library="strangers"),),
    conditions=(
        Condition(
            "hint",
            keyword="hint",
            target=f"{HERE}:Shade",
            inputs=(
                Input("hint_image", "image", help="what to follow"),
                Input("hint_scale", "number", required=False),
            ),
        ),
    ),
    addons=(
        AddOn("glow", f"{HERE}:Glow", Glow.inputs, option="glow-from"),
        AddOn("haste", f"{HERE}:Haste", Haste.inputs, fast="100 % of the colours"),
        AddOn("rush", f"{HERE}:Rush", fast="everything"),
    ),
    engines=(Engine("dark", f"{HERE}:Dark"),),
    commands=(
        Command("wave", f"{HERE}:declare", "greet somebody, 100 % friendly"),
        Command("torn", f"{HERE}:fails", "fails"),
        Command("gone", "no_such_module:declare", "is not there"),
    ),
)


def declare(parser: argparse.ArgumentParser) -> Any:
    parser.add_argument("name")
    return lambda arguments: print(f"Hello, {arguments.name}") or 0


def fails(parser: argparse.ArgumentParser) -> Any:
    parser.add_argument("--traceback")  # Is there already.


@pytest.fixture(autouse=True)
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys are all that is installed, each with a checkpoint of its name."""
    own = Installed(Plugin("generate", "autopipe-generate", "1"), autopipe_family())
    monkeypatch.setattr("autopipe.registry._default", Registry([own]))
    register(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for cls in (Dream, Film, Sing, Measure):
        cls(Shade()).save_pretrained(cls.__name__.lower())
    Shade(0.5).save_pretrained("hint")
    PIL.Image.new("RGB", (10, 6), "blue").save("photo.png")
    with wave.open("voice.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.full(10, -16384, "<i2").tobytes())


def generate(*line: str, code: int = 0) -> None:
    assert main(["generate", *line, "--device", "cpu", "-q"]) == code


def refused(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    generate(*line, code=2)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_a_task_without_prompt_makes_pictures_each_by_its_own_seed(capsys) -> None:
    generate("--model", "dream", "--num-images", "2", "--seed", "4", "-o", "a.png")
    assert capsys.readouterr().out.split() == ["a-1.png", "a-2.png", "a.png"]
    generate("--model", "dream", "--seed", "5", "-o", "b.png")
    with PIL.Image.open("a-2.png") as second, PIL.Image.open("b.png") as again:
        assert second.tobytes() == again.tobytes()
    told = settings("b.png")
    assert (told["task"], told["seed"], told["steps"]) == ("dream", 5, 2)
    assert "prompt" not in told


def test_what_such_a_task_has_no_use_for_is_refused(capsys) -> None:
    assert "doesn't use PROMPT" in refused(capsys, "a cat", "--model", "dream")
    assert "Dream doesn't take --guidance" in refused(capsys, "--model", "dream", "--guidance", "2")


def test_frames_become_an_animation_that_knows_how_it_was_made(capsys) -> None:
    generate("a cat", "--model", "film", "--num-frames", "4", "-o", "cat", "--json")
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["file"], told["frames"], told["size"]) == ("cat.gif", 4, "8x6")
    with PIL.Image.open("cat.gif") as film:
        assert film.n_frames == 4
        assert film.info["duration"] == 250
        assert settings("cat.gif")["prompt"] == "a cat"
        film.seek(2)
        assert film.convert("RGB").getpixel((0, 0)) == (128, 128, 128)
    assert "name it 'cat.gif'" in refused(capsys, "a cat", "--model", "film", "-o", "cat.png")


def test_sounds_are_wav_files_in_and_out(capsys) -> None:
    generate("la", "--model", "sing", "--num-images", "2", "-o", "la.wav", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["task"]) for one in told] == [
        ("la-1.wav", "sing"), ("la-2.wav", "sing"),
    ]  # fmt: skip
    generate("la", "--model", "sing", "--voice", "voice.wav", "-o", "loud.wav", "--json")
    (along,) = json.loads(capsys.readouterr().out)
    assert (along["task"], along["voice"], along["sampling_rate"]) == (
        "sing_along", "voice.wav", 8000,
    )  # fmt: skip
    for name, value in (("la-1.wav", 0.5), ("loud.wav", 0.25)):
        with wave.open(name) as file:
            assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 80)
            samples = np.frombuffer(file.readframes(80), "<i2")
        assert np.allclose(samples / 32767, value, atol=1e-4)


def test_a_pipeline_without_a_task_runs_and_gives_an_array(capsys) -> None:
    line = ["--model", "measure", "--set", "image=@photo.png", "--set", "bits=4"]
    generate(*line, "-o", "found", "--json")
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["file"], told["shape"], told["class"]) == ("found.npy", "4", "Measure")
    assert np.load("found.npy").tolist() == [10, 10, 10, 10]
    assert "Measure needs image" in refused(capsys, "--model", "measure")
    assert "doesn't take PROMPT" in refused(capsys, "a cat", *line)


def test_a_condition_is_loaded_and_its_inputs_are_options(capsys) -> None:
    line = ["--model", "dream", "--hint", "hint", "--hint-image", "photo.png"]
    generate(*line, "--hint-scale", "0.5", "-o", "a.png")
    with PIL.Image.open("a.png") as image:
        assert image.getpixel((0, 0)) == 64
        told = settings("a.png")
    assert (told["hint"], told["hint_image"], told["hint_scale"]) == ("hint", "photo.png", 0.5)
    assert told["class"] == "Hinted"
    capsys.readouterr()
    wrong = refused(capsys, *line, "--hint-scale", "much")
    assert "--hint-scale much is not valid: hint_scale takes float" in wrong


@pytest.mark.parametrize(
    ("value", "frames"),
    [("levels=[0, 0.5]", 2), ("levels=null", 3), ("levels=None", 3), ("num_frames=5", 5),
     ("mode=hard", 3), ("ending=@photo.png", 3)],
)  # fmt: skip
def test_any_argument_of_the_call_can_be_set(value: str, frames: int, capsys) -> None:
    generate("a cat", "--model", "film", "--set", value, "--json", "-o", "cat.gif")
    (told,) = json.loads(capsys.readouterr().out)
    assert told["frames"] == frames
    name, _, text = value.partition("=")
    if text not in ("null", "None"):
        assert str(told[name]) == text.removeprefix("@")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("num_frame=5", "Film doesn't take 'num_frame'. Did you mean 'num_frames'"),
        ("num_frames=5.5", "num_frames takes int"),
        ("num_frames=five", "num_frames takes int"),
        ("levels=[1, NaN]", "levels takes list[float] | None"),
        ("mode=loud", "mode takes"),
        ("ending=@gone.png", "gone.png"),
        ("generator=3", "--seed"),
        ("clips=3", "--num-images"),
        ("prompt=dog", "give only one"),
    ],
)
def test_what_can_not_be_set_is_refused_before_anything_is_loaded(
    value: str, words: str, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("autopipe_requests.opening.load", None)
    assert words in refused(capsys, "a cat", "--model", "film", "--set", value)


def settings(name: str) -> dict[str, Any]:
    return settings_of(Record.read(texts_of(name)["autopipe"]))


def shade(name: str) -> int:
    with PIL.Image.open(name) as image:
        found: int = image.convert("L").getpixel((0, 0))
        return found


def test_add_ons_are_attached_with_what_they_load(capsys) -> None:
    Path("quarter.txt").write_text("0.25")
    line = ["--model", "dream", "-o", "a.png", "--attach"]
    for more, level in (
        (["glow"], 128),
        (["glow=quarter.txt"], 64),
        (["glow=quarter.txt", "--glow-by", "3"], 191),
        (["glow=quarter.txt:2"], 128),
        (["glow=quarter.txt", "--set", 'adapters={"glow": 0.5}'], 32),
    ):
        generate(*line, *more)
        assert shade("a.png") == level, more
    generate(*line[:-1], "--glow-from", "quarter.txt:0.5")
    assert shade("a.png") == 32
    generate(*line, "glow=quarter.txt", "--glow-by", "2.0")
    told = settings("a.png")
    assert (told["attach"], told["glow_by"]) == (["glow=quarter.txt"], 2.0)
    capsys.readouterr()
    assert "Did you mean 'glow'" in refused(capsys, "--model", "dream", "--attach", "glw")
    assert "doesn't take 'adapters'" in refused(capsys, "--model", "dream", "--set", "adapters={}")


def test_fast_attaches_what_fits_and_tells_what_is_lost(capsys) -> None:
    assert main(["generate", "--help"]) == 0
    assert "haste, 100 % of the colours; rush, everything" in " ".join(
        capsys.readouterr().out.split()
    )
    line = ["--model", "dream", "-o", "a.png", "--fast"]
    assert main(["generate", *line, "--haste-by", "2", "--device", "cpu"]) == 0
    assert shade("a.png") == 64
    said = capsys.readouterr()
    assert "--fast attached haste: 100 % of the colours" in said.err
    assert "rush" not in said.err
    assert said.out.split() == ["a.png"]
    assert (settings("a.png")["attach"], settings("a.png")["haste_by"]) == (["haste", "rush"], 2)
    generate(*line)
    assert capsys.readouterr().err == ""
    said_why = refused(capsys, "a hut", "--model", "film", "--fast")
    why = "leave out fast, because none of its add-ons fits: Film has no time for Haste; Film has"
    assert why in " ".join(said_why.split())


@pytest.mark.parametrize("engine", ["dark", "shade=dark"])
def test_an_engine_runs_all_networks_or_one(engine: str, capsys) -> None:
    generate("--model", "dream", "--engine", engine, "-o", "a.png")
    assert shade("a.png") == 0
    assert settings("a.png")["engine"] == ({"shade": "dark"} if "=" in engine else engine)
    generate("--model", "dream", "--engine", "shade=eager", "-o", "a.png")
    assert shade("a.png") != 0
    capsys.readouterr()
    assert "'shad'" in refused(capsys, "--model", "dream", "--engine", "shad=dark")


def test_help_lists_what_is_installed(capsys) -> None:
    assert main(["generate", "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for word in ("--hint MODEL", "--hint-scale X", "--voice FILE", "100 % of a voice", "--glow-by"):
        assert word in text


def test_a_command_runs_and_broken_ones_harm_no_other(capsys) -> None:
    assert main(["wave", "Ada"]) == 0
    assert capsys.readouterr().out == "Hello, Ada\n"
    assert main(["--help"]) == 0
    assert "100 % friendly" in capsys.readouterr().out
    for name, words in (("torn", "ArgumentError"), ("gone", "no_such_module")):
        assert main([name]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert "Run: python -m pip install" in error
        assert "Traceback" not in error


def test_the_listings_know_tasks_and_extensions(capsys) -> None:
    assert main(["families"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for word in ("dream, text2video,", "1 more pipeline", "glow", "wave, torn, gone", "dark"):
        assert word in flat.replace("  ", " "), word
    assert main(["families", "--json"]) == 0
    (found,) = (f for f in json.loads(capsys.readouterr().out) if f["name"] != "generate")
    assert found["declares"] == ["dream", "text2video", "sing", "sing_along"]
    assert (found["addons"], found["engines"], found["commands"]) == (
        ["glow", "haste", "rush"], ["dark"], ["wave", "torn", "gone"],
    )  # fmt: skip
    assert main(["resolve", "sing", "--task", "sing-along", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["task"], told["tasks"]) == ("sing_along", ["sing", "sing_along"])
    for more, told in ((["--task", "sing_along"], "sing_along"), ([], "sing, sing_along")):
        assert main(["resolve", "sing", *more]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert told in [line.partition("task  ")[2].strip() for line in lines]
    assert main(["resolve", "measure"]) == 0
    assert "none" in capsys.readouterr().out
    assert main(["inspect", "sing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == ["sing", "sing_along"]
    assert main(["inspect", "measure"]) == 0


def test_a_command_of_the_core_is_not_a_strangers_to_take(capsys) -> None:
    taken = Manifest("taken", commands=(Command("families", f"{HERE}:declare"),))
    registry = Registry([Installed(Plugin("taken", "dist-taken", "1"), taken)])
    assert registry.of("command")["families"].target.startswith("autopipe.cli")
    assert [p.plugin.dist for p in registry.problems] == ["dist-taken"]
