from __future__ import annotations

import base64
import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import webuiapi
from PIL import Image

Until = Callable[[Callable[[], Any]], Any]
SMALL = {"width": 8, "height": 8}


def _started(pool: ThreadPoolExecutor, api: webuiapi.WebUIApi, **given: Any) -> Future[Any]:
    return pool.submit(api.txt2img, **{**SMALL, **given})


def _is_drawing(api: webuiapi.WebUIApi) -> bool:
    return api.get_progress()["state"]["sampling_step"] == 1


def test_progress_is_0_when_nothing_is_drawn(api: webuiapi.WebUIApi) -> None:
    found = api.get_progress()
    assert found["progress"] == 0
    assert found["state"]["job_count"] == 0
    assert found["current_image"] is None
    api.util_wait_for_ready()


def test_progress_from_a_second_thread(
    api: webuiapi.WebUIApi, address: str, studio: Any, until: Until
) -> None:
    studio.held.set()
    with ThreadPoolExecutor() as pool:
        answer = _started(pool, api, batch_size=2)
        until(lambda: api.get_progress()["current_image"])
        found = api.get_progress()
        assert found["progress"] == pytest.approx(0.25)
        assert found["eta_relative"] > 0
        state = found["state"]
        assert (state["job_count"], state["job_no"]) == (2, 0)
        assert (state["sampling_step"], state["sampling_steps"]) == (1, 2)
        with Image.open(io.BytesIO(base64.b64decode(found["current_image"]))) as preview:
            assert preview.size == (8, 8)
        url = f"{address}/progress?skip_current_image=true"
        assert httpx.get(url).json()["current_image"] is None
        studio.held.clear()
        assert len(answer.result().images) == 2
    assert api.get_progress()["progress"] == 0


def test_interrupt_answers_what_is_drawn(api: webuiapi.WebUIApi, studio: Any, until: Until) -> None:
    with ThreadPoolExecutor() as pool:
        write = studio._write

        def write_and_hold(ticket: Any, request: Any) -> None:
            write(ticket, request)
            studio.held.set()

        studio._write = write_and_hold
        answer = _started(pool, api, batch_size=3, seed=5)
        until(lambda: studio.held.is_set() and _is_drawing(api))
        api.interrupt()
        found = answer.result()
    assert len(found.images) == 1
    assert found.info["all_seeds"] == [5]
    assert api.get_progress()["progress"] == 0


def test_interrupt_before_the_first_image(
    api: webuiapi.WebUIApi, studio: Any, until: Until
) -> None:
    studio.held.set()
    with ThreadPoolExecutor() as pool:
        answer = _started(pool, api, seed=5)
        until(lambda: _is_drawing(api))
        api.interrupt()
        found = answer.result()
    assert found.images == []
    assert found.info["seed"] == 5


def test_interrupt_while_idle_stops_nothing_later(api: webuiapi.WebUIApi) -> None:
    assert api.interrupt() == {}
    assert api.skip() is None
    assert len(api.txt2img(**SMALL).images) == 1


def test_skip_goes_on_with_the_next_image(
    api: webuiapi.WebUIApi, studio: Any, until: Until
) -> None:
    studio.held.set()
    with ThreadPoolExecutor() as pool:
        answer = _started(pool, api, n_iter=3, seed=5)
        until(lambda: _is_drawing(api))
        api.skip()
        until(lambda: len(studio.tickets) == 2)
        studio.held.clear()
        found = answer.result()
    assert found.info["all_seeds"] == [6, 7]
    assert len(found.images) == 2


def test_interrupt_hits_the_oldest_that_is_drawn(
    api: webuiapi.WebUIApi, studio: Any, until: Until
) -> None:
    studio.held.set()
    with ThreadPoolExecutor() as pool:
        first = _started(pool, api, seed=1)
        until(lambda: len(studio.tickets) == 1 and studio.tickets[0].state == "drawing")
        second = _started(pool, api, seed=2)
        until(lambda: len(studio.tickets) == 2 and studio.tickets[1].state == "drawing")
        api.interrupt()
        assert first.result().images == []
        studio.held.clear()
        assert len(second.result().images) == 1


def test_interrupt_between_two_passes_answers_the_first(
    api: webuiapi.WebUIApi, studio: Any, until: Until
) -> None:
    with ThreadPoolExecutor() as pool:
        submit = studio.submit

        def submit_and_hold(requests: Any, owner: str) -> Any:
            if studio.tickets:
                studio.held.set()
            return submit(requests, owner)

        studio.submit = submit_and_hold
        answer = _started(pool, api, enable_hr=True)
        until(lambda: len(studio.tickets) == 2 and studio.tickets[1].state == "drawing")
        until(lambda: api.get_progress()["progress"] > 0.5)
        api.interrupt()
        found = answer.result()
    assert found.image.size == (8, 8)


def test_each_key_has_its_own_calls_and_options(
    serve: Callable[..., str], studio: Any, until: Until
) -> None:
    address = serve(keys=("first", "second"))
    one, other = (webuiapi.WebUIApi(baseurl=address) for _ in range(2))
    one.set_auth("anyone", "first")
    other.set_auth("anyone", "second")
    one.set_options({"sd_model_checkpoint": "blue"})
    assert one.util_get_current_model() == "blue"
    assert other.util_get_current_model() == "red.safetensors"
    studio.held.set()
    with ThreadPoolExecutor() as pool:
        answer = _started(pool, one)
        until(lambda: _is_drawing(one))
        assert other.get_progress()["progress"] == 0
        other.interrupt()
        other.skip()
        assert _is_drawing(one)
        studio.held.clear()
        assert len(answer.result().images) == 1


def test_a_wrong_password_is_refused(serve: Callable[..., str]) -> None:
    address = serve(keys=("right",))
    for auth in (None, ("user", "wrong"), ("user", "")):
        found = httpx.post(f"{address}/txt2img", json={}, auth=auth)
        assert found.status_code == 401
        assert found.json().keys() == {"error", "detail", "body", "errors"}
    assert httpx.get(f"{address}/options", auth=("user", "right")).status_code == 200


def test_empty_credentials_do_no_harm_without_keys(address: str) -> None:
    assert httpx.get(f"{address}/options", auth=("", "undefined")).status_code == 200


def test_a_client_that_goes_away_is_not_drawn_for(address: str, studio: Any, until: Until) -> None:
    studio.held.set()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}/txt2img", json=SMALL, timeout=0.2)
    until(lambda: studio.tickets[0].state == "cancelled")
    until(lambda: httpx.get(f"{address}/progress").json()["progress"] == 0)
