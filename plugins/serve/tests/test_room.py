"""Which checkpoints are in memory together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from autopipe.errors import CancelledError
from autopipe_serve.room import Room


class Scene:
    """A room for 100 bytes, and what has left it."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.room = Room(100, self.left.append)

    def taken(self, key: str, weights: int, work: int = 0, cancelled: Callable[[], bool] = bool):
        return self.room.taken(key, weights, work, cancelled)

    def use(self, key: str, weights: int, work: int = 0) -> None:
        with self.taken(key, weights, work):
            pass


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_least_recently_used_leaves(scene: Scene) -> None:
    for key in ("a", "b", "a", "c"):
        scene.use(key, 40)
    assert scene.left == ["b"]
    assert [*scene.room.held] == ["a", "c"]


def test_only_as_many_leave_as_are_needed(scene: Scene) -> None:
    for key in "abcd":
        scene.use(key, 25)
    scene.use("e", 50)
    assert scene.left == ["a", "b"]


def test_the_work_of_calls_takes_room_while_they_last(scene: Scene) -> None:
    scene.use("a", 40)
    scene.use("b", 30, 40)
    assert scene.left == ["a"]
    scene.use("c", 70)
    assert scene.left == ["a"]


def test_what_is_used_stays_and_others_wait(scene: Scene) -> None:
    drawn = threading.Event()

    def draw() -> None:
        with scene.taken("b", 60):
            drawn.set()

    with scene.taken("a", 60):
        thread = threading.Thread(target=draw)
        thread.start()
        assert not drawn.wait(0.05)
        assert scene.left == []
    thread.join(5)
    assert drawn.is_set()
    assert scene.left == ["a"]


def test_several_use_the_same_at_once(scene: Scene) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(scene.taken("a", 60, 10))
    assert scene.room.held == {"a": 60}


def test_nobody_waits_for_ever(scene: Scene) -> None:
    """Others that would use what is loaded let pass who came before them."""
    order: list[str] = []
    first = scene.taken("a", 60)
    first.__enter__()

    def draw(key: str) -> None:
        with scene.taken(key, 60):
            order.append(key)

    threads = [threading.Thread(target=draw, args=(key,)) for key in ("b", "a")]
    for thread in threads:
        thread.start()
        thread.join(0.05)
    assert order == []
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join(5)
    assert order == ["b", "a"]


def test_waiting_is_cancelled(scene: Scene) -> None:
    cancelled = threading.Event()
    raised = threading.Event()

    def draw() -> None:
        with pytest.raises(CancelledError), scene.taken("b", 60, 0, cancelled.is_set):
            pass
        raised.set()

    with scene.taken("a", 60):
        thread = threading.Thread(target=draw)
        thread.start()
        cancelled.set()
        scene.room.wake()
        assert raised.wait(5)
    scene.use("c", 30)
    assert scene.room.held == {"a": 60, "c": 30}


def test_real_sizes_replace_estimates(scene: Scene) -> None:
    with scene.taken("a", 10):
        scene.room.correct("a", 90)
    scene.use("b", 20)
    assert scene.left == ["a"]
    with scene.taken("c", 10):
        scene.room.correct("c", 0)
    assert scene.room.held == {"b": 20}


def test_an_estimate_that_was_too_small_keeps_nobody_out(scene: Scene) -> None:
    with scene.taken("a", 10):
        scene.room.correct("a", 120)
    scene.use("a", 10)
    assert scene.left == []
