"""Pipelines of requests share weights, and each has its own scheduler and what is attached."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toys import Glow

from autopipe.errors import ArgumentError, AutopipeError
from autopipe_requests import opening
from autopipe_requests.drawing import draw
from autopipe_requests.opening import Pipelines, weights_key
from autopipe_requests.placement import Placement
from autopipe_requests.request import Request, Scheduler, Stage

Make = Callable[..., Request]
PLACED = Placement(device="cpu")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of checkpoints that were loaded."""
    names: list[str] = []
    load = opening.load

    def noted(request: Request, *more: Any, **how: Any) -> Any:
        names.append(request.checkpoint.name)
        return load(request, *more, **how)

    monkeypatch.setattr(opening, "load", noted)
    return names


def value(request: Request, pipelines: Pipelines) -> np.ndarray:
    (drawn,) = draw([request], pipelines)
    return np.asarray(drawn.value)


def test_tasks_of_one_checkpoint_share_its_weights(make: Make, loads: list[str]) -> None:
    with Pipelines(PLACED) as pipelines:
        paint = pipelines.of(make()).pipe
        repaint = pipelines.of(make(image="photo.png")).pipe
        assert (type(paint).__name__, type(repaint).__name__) == ("Paint", "Repaint")
        assert paint.net is repaint.net
        assert pipelines.of(make(prompt="another", seed=2, guidance=3)).pipe is paint
    assert loads == ["paint"]


def test_views_keep_their_own_schedulers(make: Make, loads: list[str]) -> None:
    with Pipelines(PLACED) as pipelines:
        config = {"name": "Euler", "config": {"beta_end": 0.3}}
        requests = [make(), make(scheduler="EulerDiscrete"), make(scheduler=config), make()]
        pipes = [pipelines.of(one).pipe for one in requests]
        names = [type(one.scheduler).__name__ for one in pipes]
        assert names == ["DDIMScheduler", *["EulerDiscreteScheduler"] * 2, "DDIMScheduler"]
        assert [one.scheduler.config.beta_end for one in pipes] == [0.02, 0.02, 0.3, 0.02]
        assert pipes[0] is pipes[3]
        # Whatever comes first, the checkpoint's own is that of a request without one.
    with Pipelines(PLACED) as pipelines:
        assert pipelines.of(requests[2]).pipe.scheduler.config.beta_end == 0.3
        assert type(pipelines.of(requests[0]).pipe.scheduler).__name__ == "DDIMScheduler"
        assert pipelines.of(requests[1]).pipe.scheduler.config.beta_end == 0.02
    assert loads == ["paint", "paint"]


def test_a_request_that_fails_leaves_nothing_to_the_next_one(make: Make) -> None:
    wrong = make(scheduler="EulerDiscrete", attach="shy")
    with Pipelines(PLACED) as pipelines:
        usual = type(pipelines.of(make()).pipe.scheduler)
    for later, kind in ((make(), "Paint"), (make(image="photo.png"), "Repaint")):
        with Pipelines(PLACED) as pipelines:
            with pytest.raises(AutopipeError):
                pipelines.of(wrong)
            pipe = pipelines.of(later).pipe
            assert (type(pipe).__name__, type(pipe.scheduler)) == (kind, usual)


def test_a_setting_that_the_scheduler_does_not_have_is_refused(make: Make) -> None:
    with Pipelines(PLACED) as pipelines:
        for name in ("beta_ende", "config", "return_unused_kwargs"):
            request = make(scheduler={"name": "Euler", "config": {name: 1}})
            with pytest.raises(ArgumentError, match=f"has no setting '{name}'"):
                pipelines.of(request)


def test_add_ons_are_loaded_once_and_counted_per_request(make: Make) -> None:
    lines: list[dict[str, Any]] = [
        {"attach": ["glow=quarter.txt"]},
        {"attach": ["glow=half.txt:0.5"]},
        {"attach": ["glow=quarter.txt:0.5"]},
        {"attach": ["glow=quarter.txt", "glow=half.txt:0.1", "glow=quarter.txt:0.1"]},
        {},
        {"attach": ["glow=quarter.txt"], "image": "photo.png"},
        {"attach": ["glow=quarter.txt"], "arguments": {"adapters": {"glow": 0.2}}},
        {"attach": ["glow=half.txt"], "glow_by": 0.1},
    ]
    requests = [make(**line) for line in lines]
    with Pipelines(PLACED) as pipelines:
        together = [value(one, pipelines) for one in (*requests, *requests)]
    assert sorted(Glow.made) == ["half.txt", "quarter.txt", "quarter.txt"]
    for number, request in enumerate(requests):
        with Pipelines(PLACED) as pipelines:
            alone = value(request, pipelines)
        assert np.array_equal(together[number], alone), lines[number]
        assert np.array_equal(together[number + len(lines)], alone), lines[number]
    brighter = [int(one.min()) for one in together[:5]]
    assert brighter[0] == brighter[1] > brighter[2] > brighter[4]


def test_an_add_on_whose_file_changed_is_loaded_again(make: Make) -> None:
    with Pipelines(PLACED) as pipelines:
        before = value(make(attach=["glow=quarter.txt"]), pipelines)
        Path("quarter.txt").write_text("0.125")
        after = value(make(attach=["glow=quarter.txt"]), pipelines)
    assert after.max() < before.max()


def test_optional_add_ons_are_left_out_but_not_all_of_them(make: Make) -> None:
    with Pipelines(PLACED) as pipelines:
        addons = [{"addon": "shy", "optional": True}]
        with pytest.raises(ArgumentError, match="Paint is too bright for Shy"):
            pipelines.of(make(addons=addons))
        with pytest.raises(ArgumentError, match="too bright"):
            pipelines.of(make(attach="shy"))
        # What failed leaves nothing behind.
        assert pipelines.of(make()).labels == {}


def test_the_longest_unused_leaves(
    make: Make, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MOST_VIEWS", 2)
    monkeypatch.setattr(opening, "MOST_ATTACHED", 1)
    with Pipelines(PLACED) as pipelines:
        first, second = make(attach="glow=quarter.txt"), make(attach="glow=half.txt")
        shown = [value(one, pipelines) for one in (first, second, make(scheduler="Euler"), first)]
        assert np.array_equal(shown[0], shown[3])
        assert Glow.made == ["quarter.txt", "half.txt", "quarter.txt"]
    with Pipelines(PLACED, most=1) as pipelines:
        kept = pipelines.of(make()).pipe
        pipelines.of(make(engine="doubling"))
        assert pipelines.of(make()).pipe is not kept
        # A call in flight goes on with what has left.
        assert kept("a hut").images[0].size == (8, 8)
    assert loads == ["paint"] * 4


def test_what_shares_no_weights_has_its_own(make: Make) -> None:
    lines: list[dict[str, Any]] = [
        {}, {"engine": "doubling"}, {"engine": {"net": "doubling"}}, {"frame": "frame"},
        {"model": "film"}, {"dtype": "float16"},
    ]  # fmt: skip
    assert len({weights_key(make(**line)) for line in lines}) == len(lines)
    same = [make(seed=5), make(prompt="x"), make(scheduler="Euler"), make(attach="glow")]
    assert {weights_key(one) for one in same} == {weights_key(make())}


def test_an_engine_and_a_condition_are_used(make: Make) -> None:
    with Pipelines(PLACED, most=9) as pipelines:
        plain = value(make(), pipelines).astype(int)
        doubled = value(make(engine="doubling"), pipelines)
        assert doubled.mean() > plain.mean() + 10
        assert np.array_equal(value(make(engine={"net": "doubling"}), pipelines), doubled)
        framed = make(frame="frame", frame_width=1)
        assert pipelines.of(framed).pipe.frame.level == 0.5
        assert value(framed, pipelines).min() > 125


def test_threads_with_different_requests_draw_what_one_thread_draws(
    make: Make, loads: list[str]
) -> None:
    lines: list[dict[str, Any]] = [
        {"scheduler": "Euler"}, {"attach": "glow=quarter.txt"}, {"attach": "glow=half.txt:0.2"},
        {"image": "photo.png"}, {"guidance": 9}, {"attach": ["glow", "glow=quarter.txt:0.1"]},
        {"size": 16}, {"scheduler": "Euler", "attach": "glow=quarter.txt:0.3"},
    ]  # fmt: skip
    requests = [make(seed=seed, **line) for seed in range(5) for line in lines]
    with Pipelines(PLACED) as pipelines:
        serial = [value(one, pipelines) for one in requests]
    with Pipelines(PLACED) as pipelines, ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda one: value(one, pipelines), requests))
    assert all(np.array_equal(one, other) for one, other in zip(serial, parallel))
    assert loads == ["paint", "paint"]


def test_a_source_that_is_not_here_is_refused_if_only_this_machine_is_used(make: Make) -> None:
    request = make(attach="glow=owner/name")
    with (
        Pipelines(PLACED, local_only=True) as pipelines,
        pytest.raises(ArgumentError, match="'owner/name', which glow loads, is not on this"),
    ):
        pipelines.of(request)


def test_closing_gives_everything_back(make: Make) -> None:
    pipelines = Pipelines(PLACED)
    pipelines.of(make())
    pipelines.close()
    pipelines.close()
    assert json.loads(weights_key(make()))["checkpoint"]["name"] == "paint"
    assert pipelines.of(make()).pipe("a hut").images


def test_one_checkpoint_is_dropped(make: Make, loads: list[str]) -> None:
    with Pipelines(PLACED) as pipelines:
        for one in (make(), make(model="film")):
            pipelines.of(one)
        pipelines.drop(weights_key(make()))
        pipelines.drop("unknown")
        assert [pipelines.is_loaded(make(model=name)) for name in ("paint", "film")] == [
            False,
            True,
        ]
        assert pipelines.of(make()).pipe("a hut").images
    assert loads == ["paint", "film", "paint"]


def test_a_checkpoint_is_loaded_while_others_are_used(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    load = opening.load

    def slowly(*given: Any, **how: Any) -> Any:
        begun.set()
        assert goes_on.wait(30)
        return load(*given, **how)

    with Pipelines(PLACED) as pipelines, ThreadPoolExecutor(2) as pool:
        pipelines.of(make())
        monkeypatch.setattr(opening, "load", slowly)
        films = [pool.submit(pipelines.of, make(model="film")) for _ in range(2)]
        assert begun.wait(30)
        assert pipelines.of(make()).pipe("a hut").images
        assert not pipelines.is_loaded(make(model="film"))
        goes_on.set()
        assert films[0].result(30).pipe is films[1].result(30).pipe


def test_a_checkpoint_that_failed_is_loaded_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **how: Any) -> Any:
        raise OSError("gone")

    with Pipelines(PLACED) as pipelines:
        with monkeypatch.context() as patched:
            patched.setattr(opening, "load", fail)
            with pytest.raises(OSError, match="gone"):
                pipelines.of(make())
        assert not pipelines.is_loaded(make())
        assert pipelines.of(make()).pipe("a hut").images


def test_arguments_of_later_stages_load_nothing_again(make: Make) -> None:
    stage = Stage(checkpoint=make().checkpoint)
    other = stage.model_copy(update={"arguments": {"prompt": "x"}})
    scheduled = stage.model_copy(update={"scheduler": Scheduler(name="DDIMScheduler")})
    keys = [
        weights_key(make().model_copy(update={"upscale": (one,)}))
        for one in (stage, other, scheduled)
    ]
    assert keys[0] == keys[1] != keys[2]
