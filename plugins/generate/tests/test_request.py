"""`generate` checks its arguments before any work, with messages that say what to do."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from autopipe.cli.parser import parse
from autopipe.errors import AutopipeError, MissingPluginError
from autopipe.manifest import AddOn, Component, Condition, Engine, Family, Pipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Input, Task
from autopipe_generate import command as generate
from autopipe_generate.results import check_writable, output_name, single_names, suffixes_of
from autopipe_requests import completing
from autopipe_requests.completing import Completion, Draft
from autopipe_requests.inputs import source_of
from autopipe_requests.options import given_in, placement_in, spelled
from autopipe_requests.request import Addition, Checkpoint, Scheduler, Stage

SCHEDULERS = ("DDIMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler")
TASKS = (Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT)
PARTS = Family(
    "parts",
    components=(
        *(Component(name, "fake:X", kind="scheduler") for name in SCHEDULERS),
        Component("Net", "fake:Net"),
    ),
    addons=(
        AddOn("style", "fake:Style", inputs=(Input("style_image", "image"),)),
        AddOn("freely", "fake:Freely"),
        AddOn("tint", "fake:Tint", option="tint-file", help="a colour"),
        AddOn("quick", "fake:Quick", (Input("quickness", "number", required=False),), fast="much"),
    ),
    engines=(Engine("fast", "fake:Fast"),),
)
ZOO = Family(
    "zoo",
    pipelines=(
        *(
            Pipeline(f"Zoo{extra}{task}", "fake:Zoo", task, "zoo", frozenset(conditions))
            for extra, conditions in (("", ()), ("Hint", ("hint",)))
            for task in TASKS
        ),
        Pipeline("ZooRest", "fake:Zoo"),
    ),
    demo="zoo:demo",
)
HINTS = Family(
    "hints",
    conditions=(
        Condition(
            "hint",
            keyword="hint",
            target="fake:Hint",
            inputs=(
                Input("hint_image", "image", help="what to follow"),
                Input("hinting_scale", "number", option="hint-scale", required=False),
            ),
        ),
    ),
    demo="hints:demo",
)
STRANGE = Family(
    "strange",
    tasks=(
        Task("dream", auto_class="AutoPipelineForDream", parameters=("steps",)),
        Task(
            "speak",
            auto_class="AutoPipelineForSpeak",
            output="audios",
            inputs=(
                Input("prompt", "text"),
                Input("init_image", "image", option="image", required=False),
                Input("voice", "audio", help="100 % of a voice"),
            ),
            parameters=("prompt", "init_image", "voice"),
        ),
    ),
    pipelines=(
        Pipeline("Dream", "fake:Dream", "dream", "dream"),
        Pipeline("Edit", "fake:Edit", Task.IMAGE2IMAGE, "edit", also=("text2image", "speak")),
    ),
    demo="strange:demo",
)


def _with_demo(name: str) -> Family:
    return Family(name, pipelines=(Pipeline(f"Of_{name}", "fake:Zoo"),), demo=f"{name}:demo")


def registry(*demos: str, more: tuple[Family, ...] = ()) -> Registry:
    families = [PARTS, *more, *(_with_demo(name) for name in demos)]
    return Registry(
        Installed(Plugin(f.name, "autopipe-" + f.name.replace("_", "-"), "1"), f) for f in families
    )


PROMPT = {"prompt": "A red circle!"}
INSTALLED = registry(more=(ZOO, HINTS, STRANGE))


@pytest.fixture(autouse=True)
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The checkpoint that every name leads to."""
    monkeypatch.chdir(tmp_path)
    found = SimpleNamespace(index=SimpleNamespace(class_name="Zootext2image"), commit="c0ffee")
    monkeypatch.setattr(completing.checkpoints, "open_checkpoint", lambda *args, **how: found)
    for name in ("photo.png", "mask.png", "a.wav"):
        Path(name).touch()
    return found


def asked(
    *arguments: str, prompt: str | None = "A red circle!", table: Registry = INSTALLED
) -> Draft:
    line = ["generate", *([] if prompt is None else [prompt]), *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "default_registry", lambda: table)
        asked = parse(line)
        placement_in(asked)
        draft = Completion(table, spell=spelled).draft(given_in(asked))
        output = output_name(asked.output, "a", draft.seed, 1, suffixes_of(draft.task))
        check_writable(output)
        return draft


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
        (["--mask", "mask.png"], "also give --image"),
        (
            ["--task", "inpaint", "--image", "photo.png"],
            "needs PROMPT, --image and --mask; also give --mask",
        ),
        (
            ["--task", "text2image", "--image", "photo.png"],
            "doesn't use --image; leave out --image",
        ),
        (["--task", "image2image"], "also give --image"),
        (["--task", "inpant"], "Did you mean 'inpaint'"),
        (["--memory", "much"], "write 6GiB, for example, or auto"),
        (["--memory", "auto", "--offload", "model"], "give only one of them"),
        (["--offload", "disk"], "'model', 'sequential'"),
        (["--offload-folder", "there"], "also give --memory"),
        (["--steps", "3", "--steps", "4"], "--steps is given 2 times; give it once for --model"),
        (["--image", "foto.png"], "image 'foto.png'"),
        (["--hint", "demo"], "--hint needs what to follow; give --hint-image"),
        (["--hint-image", "photo.png"], "also give --hint"),
        (["--hint-scale", "0.5"], "also give --hint"),
        (["--hint", "demo", "--hint-image", "foto.png"], "image 'foto.png'"),
        (["--attach", "styl"], "Did you mean 'style'"),
        (["--attach", "style"], "--attach style needs an input; give --style-image"),
        (["--style-image", "photo.png"], "also give --attach style"),
        (["--engine", "fats"], "Did you mean 'fast'"),
        (["--engine", "net=fast", "--engine", "fast"], "COMPONENT=fast"),
        (["--engine", "net=fast,fast"], "COMPONENT=fast"),
        (["--engine", "other=eager,net=fats"], "Did you mean 'fast'"),
        (["--set", "steps"], "write NAME=VALUE"),
        (["--voice", "a.wav"], "doesn't use --voice"),
        (["--task", "speak"], "Zootext2image"),
        (["--scheduler", "DDIN"], "Did you mean 'DDIM'"),
        (["--scheduler", "nothing like it"], "Installed: DDIM, EulerAncestralDiscrete"),
        (["-o", "a.tiff"], "name it 'a.png'"),
        (["-o", "photo.png/a.png"], "is not a folder"),
        (["--size", "0x5"], "not a size from 1 to"),
        (["--size", "5by5"], "write 512x768"),
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
    assert asked("--scheduler", name).scheduler == Scheduler(name="EulerDiscreteScheduler")


def test_what_is_not_given_is_left_to_the_pipeline() -> None:
    plain = asked()
    assert plain.arguments == {"prompt": "A red circle!"}
    assert (plain.scheduler, plain.size, plain.engine) == (None, None, None)
    assert plain.checkpoint == Checkpoint(name="demo:zoo", commit="c0ffee")


def test_values_are_parsed() -> None:
    full = asked("--size", "64X32", "--steps", "3", "--guidance", "-1.5", "--seed", "9")
    assert full.size == (64, 32)
    assert full.arguments == {**PROMPT, "num_inference_steps": 3, "guidance_scale": -1.5}
    assert full.seed == 9
    assert asked("--size", "48").size == (48, 48)


def test_settings_given_again_are_for_the_stages_that_enlarge() -> None:
    line = ["--upscale", "two", "--upscale", "three", "--steps", "9", "--steps", "5"]
    full = asked(*line, "--scheduler", "DDIM", "--scheduler", "EulerDiscrete", "--negative", "dog")
    assert full.arguments == {**PROMPT, "num_inference_steps": 9, "negative_prompt": "dog"}
    assert full.scheduler == Scheduler(name="DDIMScheduler")
    second = {"num_inference_steps": 5}
    assert full.upscale == (
        Stage(
            checkpoint=Checkpoint(name="two", commit="c0ffee"),
            arguments=second,
            scheduler=Scheduler(name="EulerDiscreteScheduler"),
        ),
        Stage(checkpoint=Checkpoint(name="three", commit="c0ffee")),
    )


def test_without_a_seed_each_run_draws_its_own() -> None:
    assert len({asked().seed for _ in range(8)}) > 1


def test_the_model_is_the_demo_of_an_installed_family(checkpoint: SimpleNamespace) -> None:
    assert asked().checkpoint.name == "demo:zoo"
    assert asked("--model", "./mine").checkpoint.name == "./mine"
    table = registry("alpha", "stable_diffusion", more=(ZOO,))
    assert asked(table=table).checkpoint.name == "demo:stable_diffusion"
    checkpoint.index.class_name = "Dream"
    assert asked("--task", "dream", prompt=None).checkpoint.name == "demo:strange"


def test_what_is_attached_is_not_a_model() -> None:
    inks = Family("inks", addons=(AddOn("ink", "fake:Ink", option="ink"),), demo="inks:demo")
    assert asked(table=registry(more=(inks, ZOO))).checkpoint.name == "demo:zoo"
    with pytest.raises(MissingPluginError, match="pip install autopipe-stable-diffusion"):
        asked(table=registry(more=(inks,)))


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


def test_a_condition_takes_a_model_or_the_demo_of_its_plugin() -> None:
    found = asked("--hint", "demo", "--hint-image", "photo.png", "--hint-scale", "0.5")
    assert found.conditions == {"hint": Checkpoint(name="demo:hints")}
    assert found.arguments == {
        "hint_image": "photo.png", "hinting_scale": "0.5", "prompt": "A red circle!",
    }  # fmt: skip
    assert found.task is Task.TEXT2IMAGE
    assert asked("--hint", "a/b", "--hint-image", "photo.png").conditions == {
        "hint": Checkpoint(name="a/b")
    }
    both = ["--hint", "a/b", "--hint-image", "photo.png", "--image", "photo.png"]
    assert asked(*both).task is Task.IMAGE2IMAGE
    assert asked().conditions == {}


def test_the_demo_of_a_condition_is_no_checkpoint() -> None:
    with pytest.raises(MissingPluginError, match="--model"):
        asked(table=registry(more=(HINTS,)))


def test_a_task_without_a_prompt_needs_none(checkpoint: SimpleNamespace) -> None:
    checkpoint.index.class_name = "Dream"
    found = asked("--model", "demo:strange", prompt=None)
    assert (found.task, found.arguments) == ("dream", {})
    with pytest.raises(
        AutopipeError, match="dream needs no input and doesn't use PROMPT; leave out"
    ):
        asked("--model", "demo:strange")
    checkpoint.index.class_name = "Zootext2image"
    with pytest.raises(AutopipeError, match="text2image needs PROMPT; give PROMPT"):
        asked("--model", "demo:strange", prompt=None)
    with pytest.raises(AutopipeError, match="give PROMPT, or a --model that needs no prompt"):
        generate.run(parse(["generate"]))


@pytest.mark.parametrize(
    ("arguments", "task", "inputs"),
    [
        ([], "text2image", {"prompt"}),
        (["--image", "photo.png"], "image2image", {"prompt", "image"}),
        (["--voice", "a.wav"], "speak", {"prompt", "voice"}),
        (["--voice", "a.wav", "--image", "photo.png"], "speak", {"prompt", "voice", "init_image"}),
        (["--task", "speak", "--set", "voice=[0.5]"], "speak", {"prompt", "voice"}),
    ],
)
def test_of_the_tasks_of_one_class_the_inputs_choose(
    arguments: list[str], task: str, inputs: set[str], checkpoint: SimpleNamespace
) -> None:
    checkpoint.index.class_name = "Edit"
    found = asked(*arguments)
    assert found.task == task
    assert set(found.arguments) == inputs
    assert suffixes_of(found.task)[0] == (".wav" if task == "speak" else ".png")


def test_a_pipeline_without_a_task_takes_what_is_given(checkpoint: SimpleNamespace) -> None:
    checkpoint.index.class_name = "ZooRest"
    found = asked("--image", "photo.png", "--set", "levels=3", "-o", "rest")
    assert found.task is None
    assert found.arguments == {**PROMPT, "image": "photo.png", "levels": "3"}
    with pytest.raises(AutopipeError, match="serves no task by itself"):
        asked("--task", "inpaint", "--image", "photo.png", "--mask", "mask.png")


def test_add_ons_and_engines_are_named_with_what_they_load() -> None:
    line = ["--attach", "style=a=b", "--attach", "freely", "--style-image", "photo.png"]
    found = asked(*line, "--engine", "net=fast")
    assert found.addons == (Addition(addon="style", source="a=b"), Addition(addon="freely"))
    assert found.engine == {"net": "fast"}
    both = asked("--engine", "net=fast,other=eager").engine
    assert both == {"net": "fast", "other": "eager"}
    assert asked("--engine", "fast").engine == "fast"
    assert asked("--engine", "eager").engine is None
    assert found.arguments["style_image"] == "photo.png"


def test_an_add_on_has_an_option_of_its_own() -> None:
    found = asked("--tint-file", "a.bin:0.7", "--tint-file", "demo:tint", "--attach", "freely")
    assert found.addons == (
        Addition(addon="freely"),
        Addition(addon="tint", source="a.bin", strength=0.7),
        Addition(addon="tint", source="demo:tint"),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ink", ("ink", None, 1.0)),
        ("ink=a.bin", ("ink", "a.bin", 1.0)),
        ("ink=a.bin:0.7", ("ink", "a.bin", 0.7)),
        ("ink=demo:ink:-1", ("ink", "demo:ink", -1.0)),
        ("ink=demo:ink", ("ink", "demo:ink", 1.0)),
        ("ink=a=b:.5", ("ink", "a=b", 0.5)),
        ("ink=:0.5", ("ink", ":0.5", 1.0)),
    ],
)
def test_the_strength_follows_the_file(text: str, found: tuple[str, str | None, float]) -> None:
    assert source_of(text) == found


def test_a_file_whose_name_ends_like_a_strength_is_a_file(tmp_path) -> None:
    file = tmp_path / "a:0.5"
    file.touch()
    assert source_of(f"ink={file}") == ("ink", str(file), 1.0)


def test_fast_means_the_add_ons_that_say_what_is_lost() -> None:
    found = asked("--fast", "--attach", "freely", "--quickness", "3")
    assert found.addons == (Addition(addon="freely"), Addition(addon="quick", optional=True))
    assert found.arguments["quickness"] == "3"
    assert asked("--fast", "--attach", "quick=a").addons == (Addition(addon="quick", source="a"),)
    assert asked().addons == ()
    with pytest.raises(AutopipeError, match="also give --attach quick"):
        asked("--quickness", "3")


def test_without_such_an_add_on_fast_says_what_to_install() -> None:
    without = Registry(one for one in INSTALLED.installed if one.manifest is not PARTS)
    with pytest.raises(MissingPluginError, match=r"add-on for --fast.*pip install autopipe-speed"):
        asked("--fast", table=without)
