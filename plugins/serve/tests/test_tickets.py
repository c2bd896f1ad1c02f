"""Tickets: who follows them hears everything that happens, and nothing is left of who goes."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

from autopipe_serve.tickets import Event, Ticket


def ticket() -> Ticket:
    return Ticket("0" * 32, "me", ())


def later(told: Ticket, *events: Event) -> None:
    """Tell events in another thread, one after the other."""

    def tell() -> None:
        for one in events:
            told.tell(one)

    threading.Timer(0.02, tell).start()


def kinds(events: list[tuple[int, Event]]) -> list[str]:
    return [one.kind if one.kind != "state" else one.state for _, one in events]


STEPS = [Event("step", "drawing", step=n, steps=3) for n in (1, 2, 3)]
DONE = Event("state", "done")


def test_listeners_hear_the_same_from_another_thread() -> None:
    followed = ticket()

    async def listen() -> list[tuple[int, Event]]:
        return [one async for one in followed.events()]

    async def both() -> tuple[list[tuple[int, Event]], ...]:
        later(followed, Event("state", "drawing"), *STEPS, DONE)
        return await asyncio.gather(listen(), listen())

    first, second = asyncio.run(both())
    assert first == second
    assert kinds(first) == ["drawing", "step", "step", "step", "done"]
    assert [number for number, _ in first] == [1, 2, 3, 4, 5]


def test_late_listeners_hear_what_happened_and_go_on_after_a_number() -> None:
    followed = ticket()
    for event in (*STEPS, DONE):
        followed.tell(event)

    async def listen(after: int) -> list[tuple[int, Event]]:
        return [one async for one in followed.events(after)]

    assert kinds(asyncio.run(listen(0))) == ["step", "step", "step", "done"]
    assert asyncio.run(listen(2)) == [(3, STEPS[2]), (4, DONE)]
    assert asyncio.run(listen(4)) == []


def test_only_the_latest_preview_is_kept_and_later_none() -> None:
    followed = ticket()
    for n in range(3):
        followed.tell(STEPS[n])
        followed.tell(Event("preview", "drawing", step=n + 1, preview=bytes([n])))
    followed.tell(DONE)

    async def listen() -> list[Event]:
        return [one async for _, one in followed.events()]

    found = asyncio.run(listen())
    assert [one.preview for one in found if one.kind == "preview"] == [b"\2"]
    followed.settle()
    assert [(one.kind, one.step) for one in asyncio.run(listen())] == [("step", 3), ("state", 0)]


def test_nothing_happens_after_the_end() -> None:
    followed = ticket()
    followed.tell(Event("state", "cancelled"))
    followed.tell(DONE)
    assert followed.state == "cancelled"


def test_finished_waits_in_any_loop() -> None:
    followed = ticket()
    later(followed, *STEPS, DONE)
    assert asyncio.run(followed.finished()) is followed
    assert asyncio.run(followed.finished()).state == "done"


def test_a_listener_that_goes_away_leaves_nothing() -> None:
    followed = ticket()
    followed.tell(STEPS[0])

    async def go_away() -> weakref.ref[asyncio.Task[None]]:
        async def listen() -> None:
            async for _ in followed.events():
                pass

        task = asyncio.get_running_loop().create_task(listen())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        async for _ in followed.events():
            break
        return weakref.ref(task)

    gone = asyncio.run(go_away())
    followed.tell(STEPS[1])  # The loop is closed: nobody is told.
    gc.collect()
    assert gone() is None
