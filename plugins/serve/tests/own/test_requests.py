"""Requests of the own API, drawn by the demo."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from autopipe_requests.pictures import texts_of
from autopipe_requests.record import KEY, Record
from autopipe_serve.studio import BusyError, Event

SMALL = {"prompt": "a red circle", "steps": 2, "seed": 5}


def created(server: Any, **given: Any) -> dict:
    answered = server.post("/requests", json=given)
    assert answered.status_code == 202, answered.text
    return answered.json()


def over(server: Any, created: dict) -> dict:
    while True:
        found = server.get(created["links"]["self"]).json()
        if found["state"] not in ("queued", "drawing"):
            return found
        time.sleep(0.02)


def events_of(text: str) -> list[tuple[int, str, dict]]:
    found = []
    for block in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_a_result_is_the_file_as_it_was_written(server: Any, tmp_path: Path) -> None:
    answered = server.post("/requests", json={**SMALL, "images": 2})
    found = answered.json()
    assert answered.headers["location"] == found["links"]["self"]
    assert [one["seed"] for one in found["images"]] == [5, 6]
    done = over(server, found)
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
    assert len(done["results"]) == 2
    for link, image in zip(done["results"], found["images"]):
        result = server.get(link)
        assert result.headers["content-type"] == "image/png"
        (tmp_path / "x.png").write_bytes(result.content)
        record = Record.read(texts_of(tmp_path / "x.png")[KEY])
        assert (record.id, record.request.seed) == (image["id"], image["seed"])
        assert record.request.arguments["prompt"] == "a red circle"
        again = server.get(link, headers={"If-None-Match": result.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert server.head(link).headers["content-length"] == str(len(result.content))
    assert server.get(f"{found['links']['self']}/results/2").status_code == 404


def test_events_tell_steps_previews_and_results_and_can_be_resumed(server: Any) -> None:
    found = created(server, **{**SMALL, "steps": 4})
    answered = server.get(found["links"]["events"])
    assert answered.headers["content-type"].startswith("text/event-stream")
    events = events_of(answered.text)
    assert [number for number, *_ in events] == sorted({number for number, *_ in events})
    kinds = [kind for _, kind, _ in events]
    assert (kinds[0], kinds[-1], kinds.count("image")) == ("state", "state", 1)
    assert events[-1][2]["state"] == "done"
    steps = [(data["step"], data["steps"]) for _, kind, data in events if kind == "step"]
    assert steps[-1] == (4, 4)
    assert steps == sorted(steps)
    preview = next(data["preview"] for _, kind, data in events if kind == "preview")
    assert PIL.Image.open(io.BytesIO(base64.b64decode(preview))).format == "PNG"
    result = next(data["result"] for _, kind, data in events if kind == "image")
    assert server.get(result).status_code == 200
    middle = events[len(events) // 2][0]
    rest = server.get(found["links"]["events"], headers={"Last-Event-ID": str(middle)})
    assert events_of(rest.text)[-1] == events[-1]
    assert min(number for number, *_ in events_of(rest.text)) > middle
    last = {"Last-Event-ID": str(events[-1][0])}
    assert server.get(found["links"]["events"], headers=last).status_code == 204


def test_a_mask_and_an_image_are_sent_along(server: Any, picture: Callable) -> None:
    image = picture("PNG", (64, 64))
    mask = PIL.Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    file = io.BytesIO()
    mask.save(file, "PNG")
    id = server.post("/uploads", files={"file": ("x", image)}).json()["id"]
    text = base64.b64encode(file.getvalue()).decode()
    for given in (
        {"image": {"upload": id}, "mask": f"data:image/png;base64,{text}"},
        {"task": "inpaint", "arguments": {"image": {"upload": id}, "mask_image": {"file": text}}},
    ):
        done = over(server, created(server, **SMALL, **given))
        assert done["state"] == "done", done
        drawn = PIL.Image.open(io.BytesIO(server.get(done["results"][0]).content)).convert("RGB")
        changed = np.asarray(drawn).astype(int) != np.asarray(PIL.Image.open(io.BytesIO(image)))
        assert changed[:, :32].any()
        assert not changed[:, 32:].any()


def test_uploads_leave_nothing_behind(server: Any, picture: Callable, uploaded: Path) -> None:
    text = base64.b64encode(picture("PNG", (64, 64))).decode()
    done = over(server, created(server, **SMALL, image=text))
    assert done["state"] == "done"
    refused = server.post("/requests", json={**SMALL, "image": text, "nonsense": 1})
    assert refused.status_code == 400
    for _ in range(200):
        if not [*uploaded.iterdir()]:
            return
        time.sleep(0.02)
    raise AssertionError([*uploaded.iterdir()])


def test_a_request_can_be_cancelled(server: Any) -> None:
    found = created(server, **{**SMALL, "steps": 150, "images": 10})
    answered = server.delete(found["links"]["self"]).json()
    assert answered["cancelled"] is True
    assert over(server, found)["state"] == "cancelled"
    assert server.delete(found["links"]["self"]).json()["cancelled"] is False


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": "x", "stepz": 3}, "stepz"),
        ({"prompt": "x", "steps": "many"}, "num_inference_steps|steps"),
        ({"prompt": "x", "model": "/etc"}, "not a model of this server"),
        ({"prompt": "x", "steps": 10_000}, "steps"),
        ({"prompt": "x", "size": [100_000, 100_000]}, "size|pixels"),
        ({"prompt": "x" * 20_000}, "characters"),
        ({"steps": 2}, "prompt"),
        ({"prompt": "x", "images": 11}, "images 11 is not valid: it is a number from 1 to 10"),
    ],
)
def test_mistakes_are_told(server: Any, given: dict, said: str) -> None:
    answered = server.post("/requests", json=given)
    assert answered.status_code == 400
    assert any(one in answered.json()["error"]["message"] for one in said.split("|"))


def test_a_full_queue_says_when_to_come_again(client: Callable, studio: Any) -> None:
    studio.refusal = BusyError("the queue is full", 9)
    with client() as one:
        answered = one.post("/requests", json={"prompt": "x"})
    assert (answered.status_code, answered.headers["retry-after"]) == (429, "9")
    assert answered.json()["error"] == {"message": "the queue is full", "type": "busy"}


def test_a_ticket_belongs_to_the_key_that_made_it(client: Callable, studio: Any) -> None:
    first, second = {"Authorization": "Bearer " + "a" * 20}, {"Authorization": "Bearer " + "b" * 20}
    with client(keys=("a" * 20, "b" * 20)) as one:
        path = one.post("/requests", json={"prompt": "x"}, headers=first).json()["links"]["self"]
        for suffix, method in (
            ("", "GET"),
            ("/events", "GET"),
            ("/results/0", "GET"),
            ("", "DELETE"),
        ):
            answered = one.request(method, path + suffix, headers=second)
            assert answered.status_code == 404
        assert studio.cancelled == []
        assert one.delete(path, headers=first).json()["cancelled"] is True
    assert "a" * 20 not in next(iter(studio.kept.values())).owner


def test_an_upload_belongs_to_the_key_that_sent_it(client: Callable, picture: Callable) -> None:
    first, second = {"Authorization": "Bearer " + "a" * 20}, {"Authorization": "Bearer " + "b" * 20}
    with client(keys=("a" * 20, "b" * 20)) as one:
        sent = one.post("/uploads", files={"file": ("x", picture())}, headers=first)
        given = {"prompt": "x", "image": {"upload": sent.json()["id"]}}
        assert one.post("/requests", json=given, headers=second).status_code == 400
        assert one.post("/requests", json=given, headers=first).status_code == 202


def test_seeds_count_up_and_stay_seeds(client: Callable, studio: Any) -> None:
    with client() as one:
        given = {"prompt": "x", "seed": 2**63 - 1, "images": 3}
        found = one.post("/requests", json=given).json()
    assert [image["seed"] for image in found["images"]] == [2**63 - 1, 0, 1]


def test_a_silent_stream_beats(
    client: Callable, studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from autopipe_serve.own import events

    monkeypatch.setattr(events, "HEARTBEAT", 0.02)

    async def drive() -> list[str]:
        ticket = studio.submit([], "")
        asyncio.get_running_loop().call_later(0.1, ticket.tell, Event("state", "done"))
        return [text async for text in events.streamed(ticket)]

    texts = asyncio.run(drive())
    assert texts[0].startswith("id: 1\n")
    assert ": waiting\n\n" in texts
    assert '"state": "done"' in texts[-1]
