"""Mappings, as people write them, become complete requests with ids that depend on little."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.errors import (
    ArgumentError,
    AutopipeError,
    CheckpointError,
    ImageFileError,
    MissingPluginError,
    UnsupportedCheckpointError,
)
from autopipe.registry import Registry
from autopipe_requests.completing import Completion
from autopipe_requests.inputs import Text
from autopipe_requests.request import Request

Complete = Callable[..., Request]


@pytest.fixture
def complete(toys: Registry) -> Complete:
    completion = Completion(toys)
    return lambda **given: completion.complete({"model": "paint", "prompt": "a hut", **given})


def test_short_names_are_arguments(complete: Complete) -> None:
    request = complete(steps=5, guidance=3, negative="fog", size="16x8", seed=7)
    assert request.arguments == {
        "prompt": "a hut", "num_inference_steps": 5, "guidance_scale": 3, "negative_prompt": "fog",
    }  # fmt: skip
    assert (request.size, request.seed, request.task) == ((16, 8), 7, "text2image")
    assert (request.checkpoint.name, request.scheduler, request.engine) == ("paint", None, None)
    long = {"num_inference_steps": 5, "guidance_scale": 3.0, "negative_prompt": "fog"}
    for same in (
        complete(**long, width=16, height=8, seed=7),
        complete(arguments=long, size=[16, 8], seed=7),
        complete(steps=Text("5"), guidance=Text("3"), negative=Text("fog"), size=(16, 8), seed=7),
    ):
        assert same.id == request.id


SIZES = [("16x8", (16, 8)), ("16X8", (16, 8)), (16, (16, 16)), ("16", (16, 16)), ([8, 16], (8, 16))]


@pytest.mark.parametrize(("size", "expected"), SIZES)
def test_sizes(size: Any, expected: tuple[int, int], complete: Complete) -> None:
    assert complete(size=size).size == expected


@pytest.mark.parametrize(
    "size",
    ["", "x", "16x", "16x8x8", "a", 0, -8, "0x8", "70000", [8], [8, 8, 8], [8, "x"], 8.5, {}],
)
def test_what_is_no_size_is_refused(size: Any, complete: Complete) -> None:
    with pytest.raises(ArgumentError, match="'size'"):
        complete(size=size)


def test_the_task_is_that_of_the_inputs(complete: Complete) -> None:
    image = complete(image="photo.png", strength=0.25)
    assert (image.task, image.arguments["strength"]) == ("image2image", 0.25)
    assert image.arguments["image"]["file"] == "photo.png"
    assert len(image.arguments["image"]["sha256"]) == 64
    assert complete(task="image2image", image="photo.png").task == "image2image"
    with pytest.raises(ArgumentError, match="image2image needs 'prompt' and 'image'"):
        complete(task="image2image")
    with pytest.raises(UnsupportedCheckpointError):
        complete(task="inpaint", image="photo.png", mask="photo.png")


def test_seeds(complete: Complete) -> None:
    assert complete(seed=0).seed == 0
    assert complete(seed=2**63 - 1).seed == 2**63 - 1
    assert complete().seed != complete().seed
    for seed in ("1", 1.5, True, None, [1]):
        if seed is not None:
            with pytest.raises(ArgumentError, match="'seed'"):
                complete(seed=seed)
    for seed in (-1, 2**63):
        with pytest.raises((ArgumentError, ValueError), match="seed"):
            complete(seed=seed)


def test_schedulers_by_many_names(complete: Complete) -> None:
    for name in ("Euler", "EulerDiscrete", "eulerdiscretescheduler", "EulerDiscreteScheduler"):
        found = complete(scheduler=name).scheduler
        assert found is not None
        assert (found.name, found.config) == ("EulerDiscreteScheduler", {})
    karras = complete(scheduler="Euler Karras").scheduler
    assert karras is not None
    assert karras.config == {"use_karras_sigmas": True}
    given = {"name": "Euler Karras", "config": {"beta_end": 0.5}}
    both = complete(scheduler=given).scheduler
    assert both is not None
    assert both.config == {"use_karras_sigmas": True, "beta_end": 0.5}
    for wrong in ("Eulr", "DPM++ 2M", "", "__class__"):
        with pytest.raises(ArgumentError, match="there is no scheduler"):
            complete(scheduler=wrong)
    with pytest.raises(ArgumentError, match="'scheduler'"):
        complete(scheduler={"name": "Euler", "settings": {}})


def test_engines(complete: Complete) -> None:
    assert complete(engine="doubling").engine == "doubling"
    for parts in ("net=doubling", ["net=doubling"], {"net": "doubling"}):
        assert complete(engine=parts).engine == {"net": "doubling"}
    assert complete(engine="eager").engine is None
    assert complete(engine="net=eager,frame=doubling").engine == {
        "net": "eager", "frame": "doubling",
    }  # fmt: skip
    for wrong in ("doublng", {"net": "x"}, ["doubling", "net=doubling"], 3):
        with pytest.raises(AutopipeError, match=r"doubl|'x'|'engine'"):
            complete(engine=wrong)


def test_conditions(complete: Complete) -> None:
    request = complete(frame="frame", frame_width=2)
    assert request.conditions["frame"].name == "frame"  # type: ignore[union-attr]
    assert request.arguments["frame_width"] == 2
    assert complete(conditions={"frame": {"name": "frame"}}, frame_width=2, seed=1).id == (
        complete(frame="frame", frame_width=2, seed=1).id
    )
    with pytest.raises(ArgumentError, match="'frame_width' needs 'frame'"):
        complete(frame_width=2)
    with pytest.raises(ArgumentError, match="there is no condition 'frme'"):
        complete(conditions={"frme": "frame"})


def test_add_ons(complete: Complete) -> None:
    for given in (
        {"attach": "glow=half.txt:0.5"},
        {"attach": ["glow=half.txt:0.5"]},
        {"glow_from": "half.txt:0.5"},
        {"glow-from": ["half.txt:0.5"]},
        {"glow_from": {"source": "half.txt", "strength": 0.5}},
        {"addons": [{"addon": "glow", "source": "half.txt", "strength": 0.5}]},
    ):
        (addon,) = complete(**given).addons
        assert (addon.addon, addon.source, addon.strength) == ("glow", "half.txt", 0.5)
        assert addon.sha256 is not None
    (fast,) = complete(fast=True).addons
    assert (fast.addon, fast.optional) == ("shy", True)
    assert complete(fast=False).addons == ()
    assert complete(attach="glow", glow_by=2).arguments["glow_by"] == 2
    with pytest.raises(ArgumentError, match="'glow_by' needs 'glow_from'"):
        complete(glow_by=2)
    with pytest.raises(MissingPluginError, match="Did you mean 'glow'"):
        complete(attach="glw")
    with pytest.raises(ArgumentError, match="'addons'"):
        complete(addons=[{"addon": "glow", "from": "x"}])


def test_stages_that_enlarge(complete: Complete) -> None:
    (stage,) = complete(upscale={"model": "paint", "steps": 4, "scheduler": "Euler"}).upscale
    assert (stage.checkpoint.name, stage.arguments) == ("paint", {"num_inference_steps": 4})
    assert stage.scheduler is not None
    assert complete(upscale=["paint"]).upscale[0].checkpoint.name == "paint"
    with pytest.raises(CheckpointError, match="gone"):
        complete(upscale=["./gone"])


def test_stages_are_those_that_pipelines_have(complete: Complete) -> None:
    for name in ("custom_pipeline", "trust_remote_code", "prior"):
        with pytest.raises(ArgumentError, match=f"there is no stage '{name}'"):
            complete(stages={name: "x"})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"stepz": 3}, "Paint doesn't take 'stepz'. Did you mean 'steps'?"),
    "an unknown field": ({"schedulr": "Euler"}, "'schedulr'. Did you mean 'scheduler'?"),
    "an unknown argument": ({"prompts": "a"}, "'prompts'. Did you mean 'prompt'?"),
    "far from all": ({"qqqq": 1}, "Known: prompt, height, width,"),
    "no number": ({"steps": "many"}, "'steps' 'many' is not valid: num_inference_steps takes int"),
    "a float": ({"steps": 2.5}, "'steps' 2.5 is not valid"),
    "true": ({"guidance": True}, "'guidance' True is not valid"),
    "out of range": ({"guidance": 101}, "guidance_scale takes float from 0 to 100"),
    "no text": ({"prompt": 3}, "'prompt' 3 is not valid"),
    "what the file decides": ({"output_type": "np"}, "doesn't take 'output_type'"),
    "a generator": ({"generator": 1}, "doesn't take 'generator' here: 'seed' sets it"),
    "several": ({"num_images_per_prompt": 2}, "a request makes one"),
    "twice": ({"prompt": "a", "arguments": {"prompt": "b"}}, "give only one"),
    "arguments": ({"arguments": ["x"]}, "'arguments' ['x'] is not valid: it takes dict"),
    "a key of arguments": ({"arguments": {"stepz": 1}}, "doesn't take 'stepz'"),
    "a model": ({"model": 3}, "'model' 3 is not valid: it takes str"),
    "a checkpoint": ({"model": {"nam": "x"}}, "'model' {'nam': 'x'} is not valid"),
    "a task": ({"task": "txt2img"}, "txt2img"),
    "a file": ({"image": "gone.png"}, "'gone.png' of 'image' doesn't exist"),
    "no file": ({"image": 3}, "3"),
    "an infinite number": ({"guidance": float("inf")}, "'guidance' inf is not valid"),
    "a strange value": ({"guidance": object()}, "is not valid"),
    "a strange key": ({"\x1b[2J": 1}, "\\x1b[2J"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_the_key_as_it_was_written(
    what: str, complete: Complete
) -> None:
    given, words = WRONG[what]
    with pytest.raises(AutopipeError) as caught:
        complete(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_are_spelled_as_the_user_spells_them(toys: Registry) -> None:
    completion = Completion(toys, spell=lambda key: f"--{key}", spell_argument="set {}".format)
    for given, words in (
        ({"steps": "x"}, "--steps 'x' is not valid"),
        ({"arguments": {"num_inference_steps": "x"}}, "set num_inference_steps 'x' is not valid"),
        ({"size": "x"}, "--size"),
    ):
        with pytest.raises(ArgumentError, match=words):
            completion.complete({"model": "paint", "prompt": "a", **given})


FULL: dict[str, Any] = {
    "steps": 3,
    "guidance": 2.0,
    "size": "16x8",
    "seed": 3,
    "scheduler": "Euler Karras",
    "attach": ["glow=half.txt:0.5", "glow"],
    "glow_by": 0.5,
    "engine": "net=doubling",
    "upscale": [{"model": "paint", "guidance": 1}],
}


@pytest.mark.parametrize(
    "given",
    [FULL, {"image": "photo.png", "strength": 1, "seed": 1}, {"model": "film", "seed": 2},
     {"frame": "frame", "seed": 4}, {"fast": True, "seed": 5}],
)  # fmt: skip
def test_dumps_of_a_request_complete_to_the_same_request(
    given: dict[str, Any],
    complete: Complete,
    toys: Registry,
) -> None:
    request = complete(**given)
    for data in (
        request.model_dump(),
        request.model_dump(exclude_defaults=True),
        json.loads(request.model_dump_json()),
        json.loads(request.model_dump_json(exclude_defaults=True)),
        json.loads(request.shareable().model_dump_json(exclude_none=True)),
    ):
        again = Completion(toys).complete(data)
        assert again.id == request.id
        assert again == request


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        keys = random.Random(1).sample(sorted(value), len(value))
        return {key: shuffled(value[key]) for key in keys}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


def test_ids_depend_on_what_changes_the_result_alone(complete: Complete) -> None:
    request = complete(**FULL)
    data = json.loads(request.model_dump_json())
    assert Request.model_validate(shuffled(data)).id == request.id
    assert complete(**{**FULL, "guidance": 2}).id == request.id
    assert complete(**{**FULL, "seed": 4}).id != request.id
    assert complete(**{**FULL, "glow_by": 0.6}).id != request.id
    image = complete(image="photo.png", seed=1)
    shutil.copy("photo.png", "other.png")
    Path("far").mkdir()
    shutil.copytree("paint", "far/paint")
    assert complete(image="other.png", seed=1).id == image.id
    assert complete(image="other.png", seed=1, model="far/paint").id == image.id
    PIL.Image.new("RGB", (10, 6), "red").save("other.png")
    assert complete(image="other.png", seed=1).id != image.id
    assert len(image.id) == 32
    assert image.id == image.id.lower()


def test_width_and_height_are_the_size_however_they_are_written(complete: Complete) -> None:
    sides = {"width": 16, "height": 8}
    wanted = complete(size="16x8", seed=1)
    for given in (sides, {"arguments": sides}, {"width": 16, "arguments": {"height": 8}}):
        assert complete(seed=1, **given) == wanted
    assert complete(seed=1, arguments={"width": 16}).size is None
    with pytest.raises(ArgumentError, match=r"'width' and 'size' set the same"):
        complete(seed=1, size=8, arguments={"width": 16})


def test_a_hash_that_is_given_is_checked(complete: Complete, toys: Registry) -> None:
    data = complete(image="photo.png", attach="glow=half.txt", seed=1).model_dump()
    for place, change in (("photo.png", None), ("half.txt", "0.1"), ("paint", None)):
        kept = {one: Path(one).read_bytes() for one in ("photo.png", "half.txt")}
        if change:
            Path(place).write_text(change)
        elif place == "paint":
            Path("paint/scheduler/scheduler_config.json").write_text("{}")
        else:
            PIL.Image.new("RGB", (10, 6), "green").save(place)
        with pytest.raises(ArgumentError, match=rf"{place}' has changed.*leave out"):
            Completion(toys).complete(data)
        with pytest.raises(ArgumentError, match=r"; use the original.*, or pray"):
            Completion(toys, otherwise="pray").complete(data)
        for one, content in kept.items():
            Path(one).write_bytes(content)


def test_files_are_in_a_folder_or_where_a_function_says(toys: Registry) -> None:
    Path("inputs").mkdir()
    Path("photo.png").rename("inputs/photo.png")
    given = {"model": "paint", "prompt": "a hut", "image": "photo.png", "seed": 1}
    with pytest.raises(ImageFileError, match=r"photo\.png"):
        Completion(toys).complete(given)
    for how in ({"folder": Path("inputs")}, {"find": lambda file, _: Path("inputs", file)}):
        request = Completion(toys, **how).complete(given)  # type: ignore[arg-type]
        assert request.arguments["image"]["file"] == "inputs/photo.png"  # type: ignore[index, call-overload]


def test_without_a_model_a_demo_is_needed(toys: Registry) -> None:
    with pytest.raises(MissingPluginError, match=r"no installed family ships a demo checkpoint"):
        Completion(toys).complete({"prompt": "a hut"})
