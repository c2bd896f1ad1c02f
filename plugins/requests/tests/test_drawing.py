"""Requests are drawn in one call or one by one, and each result has its record."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from support.toys import Paint

from autopipe.errors import CancelledError, ImageFileError, PluginError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import pipeline_call
from autopipe.registry import Registry
from autopipe_requests.drawing import Drawn, draw
from autopipe_requests.opening import Pipelines
from autopipe_requests.pictures import texts_of
from autopipe_requests.placement import Placement
from autopipe_requests.record import KEY, Record, settings
from autopipe_requests.request import Request
from autopipe_requests.stepping import Step

Make = Callable[..., Request]


@pytest.fixture
def pipelines(toys: Registry) -> Pipelines:
    return Pipelines(Placement(device="cpu"), toys)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of the calls of `Paint`."""
    found: list[dict[str, Any]] = []
    original = Paint.__call__

    @functools.wraps(original)
    def noted(self: Any, *args: Any, **given: Any) -> Any:
        found.append(given)
        return original(self, *args, **given)

    monkeypatch.setattr(Paint, "__call__", noted)
    return found


def assert_as_single(requests: list[Request], drawn: list[Drawn], pipelines: Pipelines) -> None:
    """Check that results equal those of single calls, by one unit in 255 for rounding."""
    assert [one.record.request for one in drawn] == requests
    for request, one in zip(requests, drawn):
        (single,) = draw([request], pipelines)
        pair = [np.asarray(each.value).astype(int) for each in (one, single)]
        assert np.abs(pair[0] - pair[1]).max() <= 1
        assert (single.record.drawn.rows, single.record.drawn.row) == (1, 0)


def places(drawn: list[Drawn]) -> list[tuple[int, int, bool]]:
    found = [one.record.drawn for one in drawn]
    return [(one.rows, one.row, one.listed) for one in found]


def test_seeds_are_drawn_in_one_call(make: Make, pipelines: Pipelines, calls: Any) -> None:
    requests = [make(seed=seed, size="12x6", negative="fog") for seed in (3, 9, 4)]
    drawn = draw(requests, pipelines)
    assert [one["num_images_per_prompt"] for one in calls] == [3]
    assert [one.initial_seed() for one in calls[0]["generator"]] == [3, 9, 4]
    assert (calls[0]["prompt"], calls[0]["negative_prompt"]) == ("a hut", "fog")
    assert places(drawn) == [(3, 0, False), (3, 1, False), (3, 2, False)]
    assert_as_single(requests, drawn, pipelines)


def test_prompts_are_drawn_in_one_call(make: Make, pipelines: Pipelines, calls: Any) -> None:
    requests = [make(prompt=p, negative=n, seed=s) for p, n, s in (("a", "x", 1), ("b", "y", 2))]
    drawn = draw(requests, pipelines)
    (call,) = calls
    assert (call["prompt"], call["negative_prompt"]) == (["a", "b"], ["x", "y"])
    assert "num_images_per_prompt" not in call
    assert places(drawn) == [(2, 0, True), (2, 1, True)]
    assert_as_single(requests, drawn, pipelines)


def test_equal_prompts_are_listed_on_request(make: Make, pipelines: Pipelines, calls: Any) -> None:
    drawn = draw([make()] * 2, pipelines, listed=True)
    assert calls[0]["prompt"] == ["a hut", "a hut"]
    assert places(drawn) == [(2, 0, True), (2, 1, True)]


@pytest.mark.parametrize(
    "other", [{"guidance": 3}, {"size": 16}, {"negative": "fog"}, {"steps": 3}]
)
def test_what_differs_in_more_is_drawn_one_by_one(
    other: dict[str, Any], make: Make, pipelines: Pipelines, calls: Any
) -> None:
    requests = [make(), make(**other)]
    drawn = draw(requests, pipelines)
    assert len(calls) == 2
    assert places(drawn) == [(1, 0, False)] * 2
    assert_as_single(requests, drawn, pipelines)


def test_with_an_image_only_seeds_are_drawn_together(make: Make, pipelines: Pipelines) -> None:
    assert places(draw([make(image="photo.png", seed=s) for s in (1, 2)], pipelines)) == [
        (2, 0, False), (2, 1, False),
    ]  # fmt: skip
    two = [make(image="photo.png", prompt=prompt) for prompt in "ab"]
    drawn = draw(two, pipelines)
    assert places(drawn) == [(1, 0, False)] * 2
    assert_as_single(two, drawn, pipelines)


def test_a_wrong_number_of_results_is_the_plugins_fault(make: Make, pipelines: Pipelines) -> None:
    requests = [make(prompt="too few", seed=seed) for seed in (1, 2)]
    with pytest.raises(PluginError, match="Paint returned 1 results for 2 requests"):
        draw(requests, pipelines)


def test_an_output_without_the_field_of_its_task_is_the_plugins_fault(
    make: Make, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make(model="sing")
    monkeypatch.setattr("support.toys.Sounds.__init__", lambda self, audios: None)
    with pytest.raises(PluginError, match="the output of Sing has no audios; update its package"):
        draw([request], pipelines)


def test_images_are_resized_and_opened_by_the_hash(make: Make, pipelines: Pipelines) -> None:
    request = make(image="photo.png", size="4x8")
    (drawn,) = draw([request], pipelines)
    assert drawn.value.size == (4, 8)
    PIL.Image.new("RGB", (10, 6), "red").save("photo.png")
    with pytest.raises(ImageFileError, match="has changed"):
        draw([request], pipelines)


def test_a_call_is_cancelled(make: Make, pipelines: Pipelines, monkeypatch: Any) -> None:
    given: list[Any] = []

    def paint(self: Any, *_: Any) -> None:
        given.append(self.cancellation if hasattr(self, "cancellation") else None)
        raise CancelledError("stopped")

    monkeypatch.setattr("support.toys.Toy.paint", paint)
    event = threading.Event()
    event.set()
    with pytest.raises(CancelledError):
        draw([make()], pipelines, cancellation=event)


def test_steps_are_told(make: Make, pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Step] = []
    plain = draw([make()], pipelines, on_step=told.append)
    assert told == []  # Its calls tell no steps.

    @pipeline_call
    def stepping(
        self: Any, prompt: str, generator: Any = None, callback_on_step_end: Any = None
    ) -> Any:
        assert callback_on_step_end(self, 0, None, {"latents": "noise"}) == {}
        self._num_timesteps = 2
        self.preview = lambda latents: [f"a picture of {latents}"]
        assert callback_on_step_end(self, 1, None, {"latents": "a hut"}) == {}
        return ImagePipelineOutput(self.paint([prompt], (8, 8), [generator]))

    monkeypatch.setattr(Paint, "__call__", stepping)
    drawn = draw([make()], pipelines, on_step=told.append)
    assert [(one.number, one.steps) for one in told] == [(1, 1), (2, 2)]
    assert [one.preview() for one in told] == ["a picture of noise", "a picture of a hut"]
    assert "callback_on_step_end" not in drawn[0].record.drawn.used
    assert drawn[0].value.size == plain[0].value.size


def test_the_record_says_what_was_used(make: Make, pipelines: Pipelines) -> None:
    (drawn,) = draw([make(attach="glow=quarter.txt", glow_by=0.5, engine="doubling")], pipelines)
    found = drawn.record.drawn
    assert (found.pipeline, found.device, found.dtype) == ("Paint", "cpu", "float32")
    assert found.processor
    assert found.threads > 0
    assert {"autopipe-core", "torch"} <= found.versions.keys()
    expected = {"num_inference_steps": 2, "guidance_scale": 0.0, "scheduler": "DDIMScheduler"}
    assert {name: found.used[name] for name in expected} == expected
    told = settings(drawn.record)
    assert (told["glow_by"], told["steps"], told["engine"]) == (0.5, 2, "doubling")


@pytest.mark.parametrize(
    ("given", "suffixes"),
    [({}, (".png", ".jpg", ".jpeg", ".webp")), ({"model": "film"}, (".gif",)),
     ({"model": "sing"}, (".wav",))],
)  # fmt: skip
def test_files_carry_the_record_without_folders(
    given: dict[str, Any], suffixes: tuple[str, ...], make: Make, pipelines: Pipelines
) -> None:
    (drawn,) = draw([make(**given)], pipelines)
    assert drawn.suffix == suffixes[0]
    for suffix in suffixes:
        file = drawn.save(Path("new/folder") / f"a{suffix}")
        record = Record.read(texts_of(file)[KEY])
        assert record == drawn.record
        assert record.request.id == make(**given).id
    with pytest.raises(ImageFileError, match="give it such a suffix"):
        drawn.save("a.txt")
    assert {file.name for file in Path("new/folder").iterdir()} == {f"a{s}" for s in suffixes}


def test_names_of_inputs_are_written_without_their_folder(
    make: Make, pipelines: Pipelines, tmp_path: Path
) -> None:
    Path("photo.png").rename(tmp_path / "private.png")
    (drawn,) = draw([make(image=str(tmp_path / "private.png"))], pipelines)
    text = texts_of(drawn.save("a.png"))[KEY]
    assert '"file":"private.png"' in text
    assert str(tmp_path) not in text
