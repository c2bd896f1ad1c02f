"""Checkpoints in memory, under a budget."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from pathlib import Path

import pytest

from autopipe.checkpoint.address import demo_folder
from autopipe.registry import default_registry
from autopipe_requests import opening
from autopipe_requests.drawing import draw
from autopipe_requests.opening import Ready
from autopipe_requests.request import Checkpoint, Request
from autopipe_serve.settings import Settings
from autopipe_serve.shelf import Shelf

MB = 10**6
ONE = 15 * MB + 3 * MB
"""The demo has 14.8 MB of weights, and a call takes 2.3 MB."""


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Requests for three copies of the demo."""
    demo = demo_folder("stable_diffusion", default_registry())
    folders = [tmp_path_factory.mktemp("models") / "copy" for _ in range(3)]
    for folder in folders:
        shutil.copytree(demo, folder)
    arguments = {"prompt": "a cat", "num_inference_steps": 1}
    return [
        Request(
            checkpoint=Checkpoint(name=str(one)), seed=0, task="text2image", arguments=arguments
        )
        for one in folders
    ]


def shelf(tmp_path: Path, memory: int | None = None) -> Shelf:
    return Shelf(Settings(folder=tmp_path, memory=memory), default_registry())


def use(shelf: Shelf, request: Request) -> Ready:
    with shelf.using(request, None, bool):
        ready = shelf.of(request)
        shelf.measure(request, ready)
        return ready


def loaded(shelf: Shelf, requests: list[Request]) -> list[bool]:
    return [shelf.is_loaded(one) for one in requests]


def test_the_least_recently_used_leaves(tmp_path: Path, requests: list[Request]) -> None:
    with shelf(tmp_path, 2 * ONE) as made:
        for n in (0, 1, 0, 2):
            use(made, requests[n])
        assert loaded(made, requests) == [True, False, True]
        assert [*made.held()] == [requests[n].checkpoint.name for n in (0, 2)]
        assert use(made, requests[0]).pipe is use(made, requests[0]).pipe
    assert loaded(made, requests) == [False, False, False]


def test_without_a_limit_all_stay(tmp_path: Path, requests: list[Request]) -> None:
    with shelf(tmp_path) as made:
        for one in requests:
            use(made, one)
        assert loaded(made, requests) == [True, True, True]


def test_what_leaves_is_gone(tmp_path: Path, requests: list[Request]) -> None:
    with shelf(tmp_path, ONE) as made:
        weights = weakref.ref(next(use(made, requests[0]).pipe.unet.parameters()))
        assert weights() is not None
        use(made, requests[1])
        assert weights() is None


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_flat_over_many_checkpoints(tmp_path: Path, requests: list[Request]) -> None:
    with shelf(tmp_path, ONE) as made:

        def turn() -> None:
            for one in requests:
                use(made, one)
            with made.using(requests[0], None, bool):
                draw(requests[:1], made)

        for _ in range(2):
            turn()
        gc.collect()
        before = resident()
        for _ in range(5):
            turn()
        gc.collect()
        # 15 checkpoints of 14.8 MB were loaded meanwhile.
        assert resident() - before < 30 * MB


def test_loading_keeps_nobody_from_what_is_loaded(
    tmp_path: Path, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    load = opening.load

    def slowly(*given: object, **more: object) -> object:
        begun.set()
        assert goes_on.wait(30)
        return load(*given, **more)

    with shelf(tmp_path) as made:
        use(made, requests[0])
        monkeypatch.setattr(opening, "load", slowly)
        thread = threading.Thread(target=use, args=(made, requests[1]))
        thread.start()
        assert begun.wait(30)
        use(made, requests[0])
        assert loaded(made, requests) == [True, False, False]
        goes_on.set()
        thread.join(30)
        assert loaded(made, requests) == [True, True, False]


def test_a_checkpoint_that_cannot_be_loaded_takes_no_room(
    tmp_path: Path, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> object:
        raise OSError("gone")

    with shelf(tmp_path) as made:
        with monkeypatch.context() as patched:
            patched.setattr(opening, "load", fail)
            with pytest.raises(OSError, match="gone"):
                use(made, requests[0])
        assert made.room.held == {}
        use(made, requests[0])
        assert loaded(made, requests) == [True, False, False]
