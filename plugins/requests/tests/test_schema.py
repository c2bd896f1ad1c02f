"""Models of arguments are made from signatures, and check what people write."""

from __future__ import annotations

import hashlib
import json
import typing
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopipe.errors import ArgumentError, ImageFileError
from autopipe.manifest import AddOn, Condition, Manifest, Pipeline
from autopipe.registry import Registry, register
from autopipe.tasks import Input, Task
from autopipe_requests.models import facts_of
from autopipe_requests.request import Request
from autopipe_requests.schema import (
    arguments_model,
    call_arguments,
    from_text,
    read_arguments,
    request_schema,
)
from autopipe_requests.values import Text


class Base:
    """What the others share.

    Attributes:
        tempo: beats per minute, in [20, 300].
    """


class Sing:
    def __call__(
        self,
        prompt: str | list[str],
        voice: Any = None,
        tempo: float = 120.0,
        mode: Literal["soft", "hard"] = "soft",
        range: tuple[int, int] = (0, 7),
        levels: Sequence[float] | None = None,
        cover: PIL.Image.Image | list[PIL.Image.Image] | None = None,
        extra: Any = None,
        json: bool = False,
        latents: torch.Tensor | None = None,
        style_embeds: Any = None,
        takes: int = 1,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
        callback_on_step_end: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Sing `prompt`. Other parameters are those of `Base`.

        Args:
            prompt: what to sing.
            mode, range: how
                to sing.
            levels (`Sequence[float]`, *optional*):
                One for each beat.

        Returns:
            range: nothing.
        """


class Hum:
    def __call__(self, prompt: str, tempo: int = 90, mode: Literal["soft"] = "soft") -> Any:
        """Hum `prompt`.

        Args:
            tempo: as for `Sing`.
        """


class Read:
    def __call__(self, pages: torch.Tensor, prompt: str = "") -> Any: ...


PROMPT, VOICE = Input("prompt", "text"), Input("voice", "audio", help="who sings")
PITCH = Input("pitch", "number", required=False, help="semitones")
MANIFEST = Manifest(
    "singers",
    tasks=(
        Task(
            "sing",
            auto_class="AutoPipelineForSinging",
            inputs=(PROMPT, VOICE, Input("scale", "label", required=False)),
            parameters=("prompt", "voice", "scale"),
            output="audios",
            repeats="takes",
        ),
    ),
    pipelines=tuple(
        Pipeline(cls.__name__, f"{__name__}:{cls.__name__}", "sing", cls.__name__.lower())
        for cls in (Sing, Hum)
    ),
    conditions=(Condition("choir", keyword="choir", inputs=(Input("singers", "value"),)),),
    addons=(AddOn("pitch", f"{__name__}:Base", (PITCH,)),),
)


@pytest.fixture(autouse=True)
def singers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopipe.registry._default", Registry())
    register(MANIFEST)
    monkeypatch.chdir(tmp_path)


def model(*classes: type, inputs: tuple[Input, ...] = ()) -> Any:
    return arguments_model(classes or (Sing,), Task("sing"), inputs)


def properties(made: Any) -> dict[str, Any]:
    found: dict[str, Any] = made.model_json_schema()["properties"]
    return found


LEAST = {"prompt": "la", "voice": "a.wav"}


def read(name: str, value: Any) -> Any:
    return read_arguments({**LEAST, name: value}, model())[name]


def refused(name: str, value: Any) -> str:
    with pytest.raises(ArgumentError) as caught:
        read(name, value)
    return str(caught.value)


def test_fields_are_what_json_can_express() -> None:
    found = properties(model())
    assert [*found] == [
        "prompt", "voice", "tempo", "mode", "range", "levels", "cover", "extra", "json",
    ]  # fmt: skip
    assert model().model_json_schema()["required"] == ["prompt", "voice"]
    assert found["prompt"]["type"] == "string"
    assert found["mode"]["enum"] == ["soft", "hard"]
    assert found["range"]["default"] == [0, 7]
    assert (found["voice"]["kind"], found["cover"]["kind"]) == ("audio", "image")


def test_descriptions_and_ranges_are_those_of_docstrings_and_inputs() -> None:
    told = {name: one.get("description") for name, one in properties(model()).items()}
    assert told["prompt"] == "what to sing."
    assert told["voice"] == "who sings"
    assert told["mode"] == told["range"] == "how to sing."
    assert told["levels"] == "One for each beat."
    assert told["tempo"] == "beats per minute, in [20, 300]."
    assert told["extra"] is None
    tempo = properties(model())["tempo"]
    assert (tempo["minimum"], tempo["maximum"]) == (20, 300)


def test_a_union_of_pipelines_has_defaults_only_where_they_agree() -> None:
    made = model(Sing, Hum)
    found = properties(made)
    assert "default" not in found["tempo"]
    assert found["mode"]["default"] == "soft"
    assert found["tempo"]["description"] == "beats per minute, in [20, 300]."
    assert made.model_json_schema()["required"] == ["prompt", "voice"]
    given = {**LEAST, "tempo": 60.5, "mode": "hard"}
    assert read_arguments(given, made) == {**given, "voice": {"file": "a.wav"}}


def test_models_are_made_once() -> None:
    assert model() is model()
    assert model() is not model(inputs=(PITCH,))


def test_inputs_of_addons_and_conditions_are_arguments_too() -> None:
    made = model(inputs=(PITCH, Input("singers", "value")))
    assert properties(made)["pitch"]["description"] == "semitones"
    given = {**LEAST, "pitch": 2, "singers": [{"name": "Ann"}]}
    assert read_arguments(given, made)["singers"] == [{"name": "Ann"}]
    with pytest.raises(ArgumentError, match="Sing needs singers; give --singers"):
        read_arguments({**LEAST, "pitch": 2}, made, "--{}".format)
    assert "it belongs to the add-on 'pitch', so also give that" in refused("pitch", 2)
    assert "it belongs to the condition 'choir'" in refused("singers", 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tempo", 100), ("tempo", 99.5), ("mode", "hard"), ("range", [1, 2]), ("levels", None),
        ("levels", [0, 0.5]), ("extra", {"a": [None]}), ("json", True), ("cover", None),
    ],
)  # fmt: skip
def test_valid_values_stay_as_they_are(name: str, value: Any) -> None:
    found = read(name, value)
    assert (found, type(found)) == (value, type(value))


def test_tuples_become_lists_and_files_objects() -> None:
    assert read("range", (1, 2)) == [1, 2]
    assert read("cover", "a.png") == read("cover", {"file": "a.png"}) == {"file": "a.png"}
    hashed = {"file": "a.png", "sha256": "ab"}
    assert read("cover", hashed) == hashed


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tempo", "fast", "tempo 'fast' is not valid: tempo takes float from 20 to 300"),
        ("tempo", 5, "tempo 5 is not valid"),
        ("tempo", True, "tempo True is not valid"),
        ("tempo", float("nan"), "tempo nan is not valid"),
        ("mode", "loud", "mode takes 'soft' | 'hard'"),
        ("range", [1], "range takes tuple[int, int]"),
        ("range", [1, 2.5], "range takes tuple[int, int]"),
        ("levels", [0, float("inf")], "levels takes list[float] | None"),
        ("prompt", ["one", "two"], "prompt takes str"),
        ("prompt", "\ud800", "prompt takes str"),
        ("cover", {"file": "a.png", "hash": "b"}, "cover takes an image file | None"),
        ("voice", None, "voice takes an audio file"),
        ("extra", {"a": object()}, "extra takes any JSON"),
        ("tempos", 5, "Sing doesn't take 'tempos'. Did you mean 'tempo'?"),
        ("generator", 5, "Sing doesn't take 'generator' here: seed sets it"),
        ("adapters", {}, "Sing doesn't take 'adapters'"),
        ("takes", 2, "give several requests with different seeds"),
        ("latents", [1], "nothing that JSON can express"),
        ("style_embeds", [1], "nothing that JSON can express"),
        ("output_type", "np", "doesn't take 'output_type' here"),
        ("callback_on_step_end", 1, "is not data"),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, value: Any, words: str) -> None:
    assert words in refused(name, value)


def test_names_are_spelled_as_users_write_them() -> None:
    with pytest.raises(ArgumentError, match="--set tempo 5 is not valid"):
        read_arguments({"tempo": 5}, model(), "--set {}".format)
    with pytest.raises(ArgumentError, match="here: --seed sets it"):
        read_arguments({"generator": 5}, model(), "--{}".format)


def test_what_is_missing_is_named_unless_it_comes_from_elsewhere() -> None:
    with pytest.raises(ArgumentError, match="Sing needs voice; give voice"):
        read_arguments({"prompt": "la"}, model())
    assert read_arguments({"prompt": "la"}, model(), elsewhere=["voice"]) == {"prompt": "la"}


def test_a_pipeline_that_needs_tensors_is_not_for_requests() -> None:
    with pytest.raises(ArgumentError, match=r"Read can't be called by a request.*needs pages"):
        read_arguments({}, arguments_model((Read,), None))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(), one, max_size=3),
    max_leaves=8,
)
one_registry = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from(
    ["prompt", "voice", "tempo", "mode", "range", "levels", "cover", "extra", "json", "takes"]
)


@one_registry
@given(st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=4))
def test_whatever_is_given_is_read_or_refused(values: dict[str, Any]) -> None:
    made = model()
    try:
        found = read_arguments({**LEAST, **values}, made)
    except ArgumentError as error:
        str(error).encode()
        return
    json.dumps(found, allow_nan=False)
    assert read_arguments(found, made) == found
    request = Request(checkpoint={"name": "a"}, seed=1, task="sing", arguments=found)
    jsonschema.validate(
        json.loads(request.model_dump_json(exclude_defaults=True)),
        request_schema(Task("sing"), (Sing,)),
    )


@one_registry
@given(NAMES, st.text(st.characters(codec=None)) | JSON.map(json.dumps))
def test_whatever_text_is_given_is_read_or_refused(name: str, text: str) -> None:
    try:
        found = from_text(text, name, model())
    except ArgumentError as error:
        str(error).encode()
        return
    assert read_arguments({**LEAST, name: found}, model())[name] == found


def test_deep_and_huge_values_are_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert "extra takes any JSON" in refused("extra", deep)
    assert "a very large int" in refused("tempo", 10**5000)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("prompt", "5", "5"), ("prompt", '"la"', '"la"'), ("prompt", "null", "null"),
        ("tempo", "100", 100), ("tempo", "1e2", 1e2), ("json", "True", True),
        ("levels", "None", None), ("levels", "[0, 1]", [0, 1]), ("mode", "hard", "hard"),
        ("mode", '"hard"', "hard"), ("extra", "la", "la"), ("extra", "@a.png", {"file": "a.png"}),
        ("cover", "@a.png", {"file": "a.png"}), ("cover", "a.png", {"file": "a.png"}),
        ("cover", "None", None), ("voice", "5", {"file": "5"}),
        ("cover", '{"file": "a.png", "sha256": "b"}', {"file": "a.png", "sha256": "b"}),
    ],
)  # fmt: skip
def test_a_text_means_json_or_itself(name: str, text: str, value: Any) -> None:
    found = from_text(text, name, model())
    assert (found, type(found)) == (value, type(value))
    assert read_arguments({**LEAST, name: Text(text)}, model())[name] == value


def test_a_text_that_means_nothing_is_shown_as_it_was_written() -> None:
    with pytest.raises(ArgumentError, match=r"^tempo='x' is not valid: tempo takes float"):
        from_text("x", "tempo", model())
    with pytest.raises(ArgumentError, match=r"^--set tempo=x is not valid: tempo takes float"):
        from_text("x", "tempo", model(), "--set tempo=x")
    with pytest.raises(ArgumentError, match=r"^--tempo 'NaN' is not valid"):
        read_arguments({"tempo": Text("NaN")}, model(), "--{}".format)
    with pytest.raises(ArgumentError, match="Did you mean 'tempo'"):
        from_text("5", "tempoo", model())


# Files


def sha256(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


@pytest.fixture
def files() -> None:
    PIL.Image.new("RGBA", (10, 6), "blue").save("photo.png")
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save("clip.gif", save_all=True, append_images=frames[1:])
    with wave.open("voice.wav", "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.full(10, -16384, "<i2").tobytes())


KINDS = Task(
    "show",
    auto_class="AutoPipelineForShowing",
    inputs=tuple(Input(kind, kind, required=False) for kind in ("image", "mask", "video", "audio")),
)


class Show:
    def __call__(
        self, image: Any, mask: Any, video: Any, audio: Any, any: Any = None, pair: Any = None
    ) -> Any: ...


def opened(arguments: Mapping[str, Any], folder: Path | None = None, **how: Any) -> dict[str, Any]:
    return call_arguments(arguments, arguments_model((Show,), KINDS), folder, **how)


def test_files_are_opened_as_calls_take_them(files: None) -> None:
    names = {"image": "photo.png", "mask": "photo.png", "video": "clip.gif", "audio": "voice.wav"}
    hashed = {kind: {"file": name, "sha256": sha256(name)} for kind, name in names.items()}
    for written in (names, hashed):
        found = opened(written)
        assert (found["image"].mode, found["mask"].mode) == ("RGB", "L")
        assert [one.getpixel((0, 0)) for one in found["video"]] == [(255, 0, 0), (0, 0, 255)]
        assert (found["audio"].shape, found["audio"].min()) == ((2, 5), -0.5)


def test_other_values_are_as_calls_take_them(files: None) -> None:
    found = call_arguments({"range": [1, 2], "tempo": 100, "extra": {"file": "photo.png"}}, model())
    assert found["range"] == (1, 2)
    assert isinstance(found["tempo"], float)
    assert found["extra"].size == (10, 6)


def test_a_file_that_has_changed_is_refused(files: None) -> None:
    changed = {"image": {"file": "photo.png", "sha256": "0" * 64}}
    with pytest.raises(ImageFileError, match=r"image is the file 'photo\.png', which has changed"):
        opened(changed)


@pytest.mark.parametrize("kind", ["image", "mask", "video", "audio"])
@pytest.mark.parametrize("name", ["gone", ".", "/dev/zero", "bad", "a\0b", "", "clip.gif/x"])
def test_what_is_no_such_file_is_an_error(kind: str, name: str, files: None) -> None:
    Path("bad").write_bytes(b"RIFF\x89PNG")
    for written in (name, {"file": name, "sha256": "0" * 64}):
        for folder in (None, Path()):
            with pytest.raises((ArgumentError, ImageFileError)):
                opened({kind: written}, folder and folder.absolute())


def test_no_file_outside_of_the_folder_is_opened(files: None, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(tmp_path / "photo.png")
    for name in ("../photo.png", "link.png", str(tmp_path / "photo.png")):
        with pytest.raises(ArgumentError, match="is not in the folder"):
            opened({"image": name}, inside)
    assert opened({"image": "photo.png"}, tmp_path)["image"].size == (10, 6)


def test_addresses_are_opened_only_if_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "HTTPS://example.org/photo.png"
    with pytest.raises(ArgumentError, match="only files are opened here"):
        opened({"image": address})
    with pytest.raises(ArgumentError, match="only files are opened here"):
        opened({"video": address}, allow_addresses=True)
    with pytest.raises(ArgumentError, match="can't be checked"):
        opened({"image": {"file": address, "sha256": "ab"}}, allow_addresses=True)
    content = PIL.Image.new("RGB", (3, 3))
    monkeypatch.setattr("autopipe.utils._open", {address: content}.__getitem__)
    assert opened({"image": address}, allow_addresses=True)["image"].size == (3, 3)


# Whole requests


def test_the_schema_of_a_request_is_valid_and_complete() -> None:
    schema = request_schema(Task("sing"), (Sing, Hum), (PITCH,))
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    request = {"checkpoint": {"name": "a"}, "seed": 5, "task": "sing"}
    arguments = {**LEAST, "pitch": 1.5, "levels": [1, 2]}
    assert check.is_valid({**request, "arguments": arguments})
    for wrong in (
        request,
        {**request, "arguments": {**arguments, "tempo": 5}},
        {**request, "arguments": {**arguments, "unknown": 5}},
        {**request, "arguments": arguments, "task": "hum"},
        {**request, "arguments": arguments, "seed": -1},
    ):
        assert not check.is_valid(wrong), wrong
    assert all(one.get("description") for one in schema["properties"].values())


def test_a_flat_schema_has_the_arguments_beside_the_fields() -> None:
    schema = request_schema(Task("sing"), (Sing,), flat=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid({**LEAST, "seed": 4, "steps": 3})
    assert not check.is_valid({"prompt": "la"})
    assert not check.is_valid({**LEAST, "tempo": 5})


def test_annotations_that_can_not_be_evaluated_accept_anything() -> None:
    class Odd:
        def __call__(self, first: Nowhere, second: list[torch.Tensor] | None, /, third=1): ...  # type: ignore[name-defined] # noqa: F821

        __call__.__annotations__["third"] = "Nothing"

    found = facts_of(arguments_model((Odd,), None)).arguments
    assert [(name, one.takes) for name, one in found.items()] == [("third", "any JSON")]


@pytest.mark.parametrize(
    ("annotation", "takes"),
    [
        (typing.Optional[typing.List[int]], "list[int] | None"),  # noqa: UP006, UP045
        (typing.Dict[str, typing.Any], "dict[str, any JSON]"),  # noqa: UP006
        (Mapping[str, float] | None, "dict[str, float] | None"),
        (tuple[float, ...], "list[float]"),
        (typing.Annotated[int, "whole"], "int"),
        (typing.NewType("Level", int), "int"),
        (list, "list[any JSON]"),
        (torch.Tensor | list[float], "list[float]"),
        (Literal["a", 1, None], "'a' | 1 | None"),
        (torch.Tensor | None, None),
        (dict[int, str], None),
        (tuple[int, torch.Tensor], None),
        (list[np.ndarray], None),
        (Literal[b"a"], None),
        (object, "any JSON"),
    ],
)
def test_annotations_become_types_of_json(annotation: Any, takes: str | None) -> None:
    class Call:
        def __call__(self, value: Any = None) -> Any: ...

    Call.__call__.__annotations__["value"] = annotation
    found = facts_of(arguments_model((Call,), None)).arguments
    assert found["value"].takes == takes if takes else not found
