"""The studio, which draws with the demo."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.errors import ArgumentError
from autopipe_requests.drawing import draw
from autopipe_requests.opening import Pipelines
from autopipe_requests.pictures import texts_of
from autopipe_requests.record import KEY, Record
from autopipe_requests.request import Request
from autopipe_serve.settings import Limits, Settings
from autopipe_serve.studio import BusyError, Event, LimitError, StoppingError, Studio, Ticket

DEMO = "demo:stable_diffusion"
CAT = {"prompt": "a cat", "steps": 2, "seed": 1}
LONG = {**CAT, "steps": 150}


@pytest.fixture
def studio_with(tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """A function that makes a studio; it is closed after the test."""
    made: list[Studio] = []

    def make(limits: dict[str, Any] | None = None, **settings: Any) -> Studio:
        how = {"folder": tmp_path / "results", "limits": Limits(**(limits or {})), **settings}
        made.append(Studio(Settings(**how)))
        return made[-1]

    yield make
    for one in made:
        one.close(0)


def wait(*tickets: Ticket) -> None:
    async def every() -> None:
        await asyncio.wait_for(asyncio.gather(*(one.finished() for one in tickets)), 120)

    asyncio.run(every())


def events_of(ticket: Ticket, stop: Callable[[Event], bool] = lambda _: False) -> list[Event]:
    """Return the events of a ticket until `stop`."""

    async def listen() -> list[Event]:
        found: list[Event] = []
        async for _, event in ticket.events():
            found.append(event)
            if stop(event):
                break
        return found

    return asyncio.run(asyncio.wait_for(listen(), 120))


def until_drawing(ticket: Ticket) -> None:
    assert events_of(ticket, lambda one: one.kind == "step")[-1].kind == "step"


def pixels(files: Sequence[Path]) -> list[bytes]:
    return [PIL.Image.open(one).tobytes() for one in files]


def drawn_alone(*requests: Request) -> list[bytes]:
    with Pipelines() as pipelines:
        return [draw([one], pipelines)[0].value.tobytes() for one in requests]


def seeds(request: Request, count: int) -> list[Request]:
    return [request.with_seed(seed) for seed in range(count)]


def test_pictures_are_those_of_the_command_line(studio_with, tmp_path: Path) -> None:
    studio = studio_with()
    requests = seeds(studio.complete(CAT), 2)
    ticket = studio.submit(requests, "me")
    wait(ticket)
    assert (ticket.state, ticket.error, ticket.progress) == ("done", None, 1.0)
    assert ticket.files == [tmp_path / f"results/{ticket.id}-{n}.png" for n in (0, 1)]
    assert pixels(ticket.files) == drawn_alone(*requests)
    assert studio.ticket(ticket.id) is ticket
    assert studio.ticket("0" * 32) is None


def test_several_threads_on_one_checkpoint_draw_the_same_bits(studio_with) -> None:
    studio = studio_with(workers=3)
    requests = seeds(studio.complete({**CAT, "steps": 4}), 9)
    tickets = [studio.submit([one], "me") for one in requests]
    wait(*tickets)
    assert [one for t in tickets for one in pixels(t.files)] == drawn_alone(*requests)


def test_steps_and_previews_are_told(studio_with) -> None:
    studio = studio_with()
    ticket = studio.submit(seeds(studio.complete(CAT), 2), "me")
    found = events_of(ticket)
    states = [one.state for one in found if one.kind == "state"]
    assert states == ["queued", "drawing", "done"]
    steps = [(one.image, one.step, one.steps) for one in found if one.kind == "step"]
    assert steps == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]
    assert [one.file for one in found if one.kind == "image"] == ticket.files
    previews = [one.preview for one in found if one.kind == "preview"]
    assert previews
    assert all(one.startswith(b"\x89PNG") for one in previews)


def test_without_previews_there_are_none(studio_with) -> None:
    studio = studio_with(previews=False)
    found = events_of(studio.submit([studio.complete(CAT)], "me"))
    assert {one.kind for one in found} == {"state", "step", "image"}


def test_tickets_are_drawn_in_order(studio_with) -> None:
    studio = studio_with()
    order: list[str] = []
    studio.on_over.append(lambda ticket: order.append(ticket.owner))
    first = studio.submit([studio.complete(LONG)], "0")
    until_drawing(first)
    others = [studio.submit([studio.complete(CAT)], str(n)) for n in (1, 2, 3)]
    assert [one.position for one in others] == [0, 1, 2]
    assert others[1].cancel()
    assert [one.position for one in others] == [0, 0, 1]
    assert 0 < first.progress < 1
    assert [one.progress for one in others] == [0, 0, 0]
    first.cancel()
    wait(first, *others)
    studio.close()
    assert order == ["2", "0", "1", "3"]


def test_a_queued_ticket_is_cancelled_at_once(studio_with) -> None:
    studio = studio_with()
    first = studio.submit([studio.complete(LONG)], "me")
    until_drawing(first)
    second = studio.submit([studio.complete(CAT)], "me")
    assert second.cancel()
    assert (second.state, second.files, studio.stats().queued) == ("cancelled", [], 0)
    assert not second.cancel()
    assert first.state == "drawing"


def test_a_ticket_is_cancelled_while_it_is_drawn(studio_with) -> None:
    studio = studio_with()
    ticket = studio.submit([studio.complete(CAT), studio.complete(LONG)], "me")
    events_of(ticket, lambda one: one.kind == "step" and one.image == 1)
    assert ticket.cancel()
    wait(ticket)
    assert (ticket.state, ticket.error, len(ticket.files)) == ("cancelled", None, 1)
    later = studio.submit([studio.complete(CAT)], "me")
    wait(later)
    assert later.state == "done"


def test_a_full_queue_refuses(studio_with) -> None:
    studio = studio_with({"queue": 1})
    first = studio.submit([studio.complete(LONG)], "me")
    until_drawing(first)
    waiting = studio.submit([studio.complete(CAT)], "me")
    with pytest.raises(BusyError, match="1 requests are waiting") as refused:
        studio.submit([studio.complete(CAT)], "me")
    assert 1 <= refused.value.seconds <= 120
    assert studio.stats().refused == 1
    first.cancel()
    wait(first, waiting)
    assert waiting.state == "done"


def test_without_a_queue_only_idle_threads_take_requests(studio_with) -> None:
    studio = studio_with({"queue": 0})
    first = studio.submit([studio.complete(LONG)], "me")
    with pytest.raises(BusyError):
        studio.submit([studio.complete(CAT)], "me")
    first.cancel()


def test_what_takes_too_long_fails(studio_with) -> None:
    studio = studio_with({"seconds": 1e-3})
    ticket = studio.submit([studio.complete(LONG)], "me")
    wait(ticket)
    assert ticket.state == "failed"
    assert "longer than the 0.001 seconds" in (ticket.error or "")


def test_an_error_ends_the_ticket_and_not_the_thread(studio_with, tmp_path: Path) -> None:
    studio = studio_with()
    good = studio.complete(CAT)
    absent = good.model_copy(update={"task": "image2image", "arguments": {
        "prompt": "a cat", "image": {"file": str(tmp_path / "absent.png")}}})  # fmt: skip
    tickets = [studio.submit([one], "me") for one in (absent, good)]
    wait(*tickets)
    assert [one.state for one in tickets] == ["failed", "done"]
    assert "absent.png" in (tickets[0].error or "")
    assert tickets[0].failure is not None


def test_a_surprise_ends_the_ticket_and_not_the_thread(
    studio_with, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autopipe_serve import drawing

    def surprise(*given: object, **more: object) -> None:
        raise SystemExit("out")

    studio = studio_with()
    with monkeypatch.context() as patched:
        patched.setattr(drawing, "draw", surprise)
        bad = studio.submit([studio.complete(CAT)], "me")
        wait(bad)
    good = studio.submit([studio.complete(CAT)], "me")
    wait(good)
    assert (bad.state, good.state) == ("failed", "done")
    assert "SystemExit: out" in (bad.error or "")


def test_results_are_kept_for_the_latest_tickets(studio_with, tmp_path: Path) -> None:
    studio = studio_with({"results": 2})
    own = tmp_path / "results" / "own.png"
    own.write_bytes(b"the operator's")
    tickets = [studio.submit([one], "me") for one in seeds(studio.complete(CAT), 3)]
    wait(*tickets)
    assert studio.ticket(tickets[0].id) is None
    assert [studio.ticket(one.id) for one in tickets[1:]] == tickets[1:]
    assert {*(tmp_path / "results").iterdir()} == {own, *tickets[1].files, *tickets[2].files}


def test_results_name_what_clients_name(studio_with, tmp_path: Path) -> None:
    from autopipe.checkpoint.address import demo_folder
    from autopipe.registry import default_registry

    folder = demo_folder("stable_diffusion", default_registry())
    studio = studio_with(models={"small": str(folder)})
    ticket = studio.submit([studio.complete(CAT)], "me")
    wait(ticket)
    text = texts_of(ticket.files[0])[KEY]
    assert Record.model_validate_json(text).request.checkpoint.name == "small"
    assert str(folder) not in text


def test_two_hundred_tickets_leave_nothing_running(studio_with) -> None:
    studio = studio_with({"queue": 200}, workers=2, previews=False)
    dice = random.Random(0)
    request = studio.complete({**CAT, "steps": 1})
    tickets = [studio.submit([one], "me") for one in seeds(request, 200)]
    for one in dice.sample(tickets, 150):
        one.cancel()
        if dice.random() < 0.05:
            until_drawing(next(t for t in tickets if not t.is_over or t.files))
    wait(*tickets)
    stats = studio.stats()
    assert (stats.queued, stats.drawing, stats.failed) == (0, 0, 0)
    assert stats.done + stats.cancelled == 200
    assert stats.images == sum(len(one.files) for one in tickets)
    assert all(len(one.files) == (one.state == "done") for one in tickets)


def test_closing_waits_for_what_is_drawn_and_cancels_the_rest(studio_with) -> None:
    before = threading.active_count()
    studio = studio_with()
    request = studio.complete(CAT)
    first = studio.submit(seeds(request, 3), "me")
    until_drawing(first)
    second = studio.submit([request], "me")
    studio.close()
    assert (first.state, second.state) == ("done", "cancelled")
    assert threading.active_count() == before
    assert studio.stats().memory == {}
    assert (first.failure, second.failure) == (None, StoppingError)
    assert second.error == str(StoppingError())
    with pytest.raises(StoppingError):
        studio.submit([request], "me")


def test_closing_in_haste_cancels_what_is_drawn(studio_with) -> None:
    studio = studio_with()
    ticket = studio.submit([studio.complete(LONG)], "me")
    until_drawing(ticket)
    studio.close(0)
    wait(ticket)
    assert (ticket.state, ticket.failure) == ("cancelled", StoppingError)


def test_models_are_those_of_the_operator(studio_with) -> None:
    studio = studio_with(models={"small": DEMO, "net": "demo:controlnet"})
    small, net = studio.models()
    assert (small.name, small.class_name, small.loaded) == (
        "small",
        "StableDiffusionPipeline",
        False,
    )
    assert set(small.tasks) >= {"text2image", "image2image", "inpaint"}
    assert (net.class_name, net.tasks) == (None, ())
    wait(studio.submit([studio.complete({**CAT, "model": "small"})], "me"))
    assert studio.models()[0].loaded
    assert [*studio.stats().memory] == ["small"]
    with pytest.raises(ArgumentError, match="is not a model of this server"):
        studio.complete({**CAT, "model": DEMO})


def test_without_models_there_are_the_demos(studio_with) -> None:
    assert studio_with().models()[0].name == DEMO


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"steps": 151}, "151 denoising steps"),
        ({"size": "4096x2048"}, "4,096 x 2,048"),
        ({"arguments": {"width": 2**17}}, "131,072 x 64"),
        ({"prompt": "x" * 10_001}, "10,001 characters"),
        ({"negative": "x" * 10_001}, "10,001 characters"),
        (
            {"scheduler": {"name": "DDIM", "config": {"num_train_timesteps": 10**9}}},
            "1,000,000,000",
        ),
        ({"upscale": [DEMO] * 17}, "17 entries"),
    ],
)
def test_limits_are_named(studio_with, given: dict[str, Any], told: str) -> None:
    studio = studio_with()
    with pytest.raises(LimitError, match=told):
        studio.complete({**CAT, **given})


def test_defaults_count(studio_with) -> None:
    without = {key: value for key, value in CAT.items() if key != "steps"}
    with pytest.raises(LimitError, match="denoising steps"):
        studio_with({"steps": 10}).complete(without)
    with pytest.raises(LimitError, match="64 x 64"):
        studio_with({"pixels": 64 * 64 - 1}).complete(CAT)


def test_too_many_images_are_refused(studio_with) -> None:
    studio = studio_with({"images": 2})
    with pytest.raises(LimitError, match="3 images"):
        studio.submit(seeds(studio.complete(CAT), 3), "me")
    with pytest.raises(LimitError, match="0 images"):
        studio.submit([], "me")


def test_what_cannot_fit_is_refused(studio_with) -> None:
    studio = studio_with(memory=15_000_000)
    with pytest.raises(LimitError, match="this server may take") as refused:
        studio.submit([studio.complete(CAT)], "me")
    assert DEMO not in str(refused.value), "clients needn't know where a model is"
