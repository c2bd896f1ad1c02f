"""Records are read as they were written, and refused if they were changed."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_requests.record import LONGEST, Circumstances, Record, settings
from autopipe_requests.request import Addition, Checkpoint, Request, Scheduler, Stage


def record(**changes: Any) -> Record:
    given: dict[str, Any] = {
        "seed": 7,
        "task": "image2image",
        "checkpoint": Checkpoint(name="demo:toys", commit="c0ffee", variant="fp16"),
        "arguments": {
            "strength": 0.5,
            "prompt": "zwölf 🐈\n",
            "image": {"file": "photo.png", "sha256": "ab"},
            "eta": 1.0,
        },
        "scheduler": Scheduler(name="EulerDiscreteScheduler", config={"use_karras_sigmas": True}),
        "addons": (Addition(addon="lora", source="a.safetensors", strength=0.5),),
        "upscale": (Stage(checkpoint=Checkpoint(name="two")),),
        **changes,
    }
    request = Request(**given)
    drawn = Circumstances(
        pipeline="ToyPipeline",
        device="cpu",
        processor="a processor",
        threads=2,
        dtype="float32",
        versions={"autopipe-core": "0.1.0"},
        used={"num_inference_steps": 50, "strength": 0.3, "width": 64, "height": 32},
    )
    return Record(id=request.id, request=request, drawn=drawn)


def test_a_record_is_read_as_it_was_written() -> None:
    written = record()
    assert Record.read(written.text()) == written
    assert Record.read(written.text()).text() == written.text()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES), st.integers(0, 2**63 - 1))
def test_any_arguments_are_read_as_they_were_written(values: dict[str, Any], seed: int) -> None:
    written = record(arguments=values, seed=seed)
    assert Record.read(written.text()) == written


def test_settings_are_in_the_order_of_the_options() -> None:
    assert settings(record()) == {
        "prompt": "zwölf 🐈\n",
        "model": "demo:toys",
        "upscale": ["two"],
        "task": "image2image",
        "steps": 50,
        "strength": 0.5,
        "size": "64x32",
        "seed": 7,
        "scheduler": "EulerDiscreteScheduler (use_karras_sigmas=true)",
        "image": "photo.png",
        "eta": 1.0,
        "attach": ["lora=a.safetensors:0.5"],
        "revision": "c0ffee",
        "variant": "fp16",
        "dtype": "float32",
        "class": "ToyPipeline",
        "device": "cpu",
        "processor": "a processor",
        "threads": 2,
        "autopipe-core": "0.1.0",
        "id": record().id,
    }
    assert list(settings(record()))[:4] == ["prompt", "model", "upscale", "task"]


def changed(**fields: Any) -> str:
    data = json.loads(record().text())
    for path, value in fields.items():
        *parents, last = path.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ("[" * 100_000, "is not JSON"),
        ("a" * (LONGEST + 1), "is too long"),
        ("\ud800", "is not JSON"),
        ("{}", "id: Field required"),
        (changed(request__seed=8), "was changed after it was written"),
        (changed(id="0" * 32), "was changed after it was written"),
        (changed(format=2), "format 2, of a newer version.*Update autopipe-requests"),
        (changed(format="x"), "format"),
        (changed(request__seed=-1), "request.seed"),
        (changed(request__seed=1 << 70), "request.seed"),
        (changed(request__later=1), "request.later"),
        (changed(request__size=[0, 5]), "width and height"),
        (changed(drawn__versions=[]), "drawn.versions"),
        (changed(request__arguments={"a": float("nan")}), "finite"),
        (changed(request__arguments=json.loads('{"a":' * 500 + "1" + "}" * 500)), "not valid"),
        (changed(id="\x1b[31m" + "9" * 10_000), "was changed"),
    ],
    ids=range(19),
)
def test_others_are_refused(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        Record.read(text)
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)


TEXT = record().text()


@given(st.data())
def test_changed_texts_are_read_or_refused(data: st.DataObject) -> None:
    letters = list(TEXT)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(letters) - 1))
        letters[place] = data.draw(st.sampled_from([*'",:[]{}1ax\\', "\ud800", ""]))
    with suppress(ArgumentError):
        found = Record.read("".join(letters))
        assert found.id == found.request.id
