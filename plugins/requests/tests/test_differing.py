"""What differs from when a result was drawn is told, a line each."""

from __future__ import annotations

from typing import Any

from autopipe_requests.differing import MOST, differences
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Addition, Checkpoint, Request, Scheduler

THEN = Circumstances(
    pipeline="Toys",
    device="cpu",
    processor="one",
    instructions="AVX2",
    threads=4,
    versions={"torch": "2.6", "autopipe-core": "1"},
)


def request(**changes: Any) -> Request:
    given: dict[str, Any] = {
        "checkpoint": Checkpoint(name="toys", fingerprint="aa"),
        "seed": 1,
        "arguments": {"prompt": "a hut", "image": {"file": "a.png", "sha256": "bb"}},
        **changes,
    }
    return Request(**given)


def told(now: Request | None = None, **changes: Any) -> list[str]:
    record = Record(id=request().id, request=request(), drawn=THEN)
    return differences(record, now or request(), THEN.model_copy(update=changes))


def test_nothing_differs() -> None:
    assert told() == []
    other = {"prompt": "a hut", "image": {"file": "elsewhere/b.png", "sha256": "bb"}}
    moved = request(checkpoint=Checkpoint(name="far/toys", fingerprint="aa"), arguments=other)
    assert told(moved) == []
    assert told(rows=3, row=1, dtype="float16", used={"strength": 1}) == []


def test_circumstances_are_told_in_words() -> None:
    assert told(
        pipeline="OtherToys",
        device="cuda",
        processor="two",
        instructions="",
        threads=0,
        versions={"torch": "2.7", "numpy": "2"},
    ) == [
        "the pipeline: Toys then, OtherToys here",
        "the device: cpu then, cuda here",
        "the processor: one then, two here",
        "the instructions of the processor: AVX2 then, not there here",
        "the number of threads: 4 then, 0 here",
        "autopipe-core: 1 then, not there here",
        "numpy: not there then, 2 here",
        "torch: 2.6 then, 2.7 here",
    ]


def test_requests_are_told_by_places() -> None:
    now = request(
        checkpoint=Checkpoint(name="toys", fingerprint="cc"),
        arguments={"prompt": "a hut", "image": {"file": "a.png", "sha256": "dd"}},
        addons=(Addition(addon="glow"),),
        scheduler=Scheduler(name="DDIM", config={"a": [1]}),
    )
    assert sorted(told(now)) == [
        "addons.0.addon: not there then, glow here",
        "arguments.image.sha256: bb then, dd here",
        "checkpoint.fingerprint: aa then, cc here",
        "scheduler.config.a.0: not there then, 1 here",
        "scheduler.name: not there then, DDIM here",
    ]


def test_what_anyone_wrote_is_escaped_and_cut() -> None:
    versions = {f"p{i}\x1b[2J{'x' * 500}": "1\n" * 500 for i in range(1000)}
    lines = told(versions=versions)
    assert len(lines) == MOST + 1
    assert lines[-1] == f"{1002 - MOST} more"
    assert all(line.isprintable() and len(line) < 300 for line in lines)
