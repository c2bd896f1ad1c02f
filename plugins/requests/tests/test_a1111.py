"""AUTOMATIC1111's `parameters`, read by the rules of its format, and written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_requests.foreign import Foreign, foreign_of
from autopipe_requests.foreign.a1111 import parameters_of
from autopipe_requests.foreign.infotext import joined, split
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Addition, Checkpoint, Request, Scheduler
from autopipe_requests.samplers import SAMPLERS, sampler_of, scheduler_of

WEB_UI = (
    "a hut, (oil:1.2)\nby the sea <lora:paint:0.8>\nNegative prompt: fog,\nrain\n"
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 965400086, "
    "Size: 512x768, Model hash: 45dee52b, Model: v1-5-pruned, Clip skip: 2, RNG: CPU, "
    'Lora hashes: "paint: 0123456789ab", Version: v1.10.1'
)
CIVITAI = (
    "a hut\nNegative prompt: fog\nSteps: 30, Sampler: Euler a, CFG scale: 7, Seed: 5, "
    "Size: 832x1216, Created Date: 2024-12-22T01:01:01.0222111Z, "
    'Hashes: {"model":"abc","lora:x":"d, e: f"}, '
    'Civitai resources: [{"type":"checkpoint","modelVersionId":1,"modelName":"Some, model: [XL]"},'
    '{"type":"lora","weight":0.7,"modelVersionId":2,"modelName":"style"},'
    '{"type":"lora","weight":1,"modelVersionId":3},{"type":"embed","modelVersionId":4}], '
    "Civitai metadata: {}, Clip skip: 2"
)


def read(text: str) -> Foreign:
    found = foreign_of({"parameters": text})
    assert found is not None
    return found


def test_settings_of_the_web_ui_are_read() -> None:
    found = read(WEB_UI)
    assert found.program == "AUTOMATIC1111's web UI v1.10.1"
    scheduler = found.given.pop("scheduler")
    assert found.given == {
        "prompt": "a hut, (oil:1.2)\nby the sea",
        "negative_prompt": "fog,\nrain",
        "num_inference_steps": 20,
        "guidance_scale": 6.5,
        "seed": 965400086,
        "size": (512, 768),
        "clip_skip": 1,
    }
    assert scheduler["name"] == "DPMSolverMultistepScheduler"
    assert scheduler["config"]["use_karras_sigmas"] is True
    assert found.names == {"model": "v1-5-pruned", "model_hash": "45dee52b"}
    assert found.loras == [("paint", 0.8)]
    assert found.grammar == "a1111"
    assert found.left == []


def test_civitais_json_without_quotes_is_one_value() -> None:
    found = read(CIVITAI)
    assert found.program == "Civitai"
    assert found.given["size"] == (832, 1216)
    assert found.given["clip_skip"] == 1
    assert found.names == {"model": "Some, model: [XL]"}
    assert found.loras == [("style", 0.7), ("civitai:3", 1)]
    assert found.left == ["Civitai's embed 'civitai:4'; attach it yourself"]


def test_noise_of_a_gpu_is_told_and_that_of_a_cpu_is_not() -> None:
    assert not any("GPU" in one for one in read(WEB_UI).differs)
    for text in (WEB_UI.replace("RNG: CPU, ", ""), WEB_UI.replace("RNG: CPU", "RNG: GPU")):
        assert "its noise was drawn on a GPU" in read(text).differs
    assert "its noise was drawn on a 'NV'" in read(WEB_UI.replace("RNG: CPU", "RNG: NV")).differs


def test_second_passes_and_extensions_are_told() -> None:
    more = (
        ", Denoising strength: 0.4, Hires upscale: 2, Hires upscaler: Latent, "
        "ADetailer model: f.pt, "
        'ControlNet 0: "Module: canny, Weight: 1", Variation seed: 3, Token merging ratio: 0.5'
    )
    found = read(WEB_UI + more)
    assert "strength" not in found.given
    assert found.left == [
        "Token merging ratio: '0.5'",
        "the second pass that enlarges the picture",
        "ADetailer's repainting of details",
        "ControlNet's inputs",
    ]
    assert "its noise was changed by Variation seed" in found.differs


def test_an_image_to_start_from_is_told() -> None:
    found = read(WEB_UI + ", Denoising strength: 0.4")
    assert found.given["strength"] == 0.4
    assert found.left == ["the image that it starts from; give it yourself"]


@pytest.mark.parametrize("text", ["a hut", "a hut\nSteps: 3, Seed: 5", "Steps: 3", ""])
def test_fewer_than_three_pairs_are_prompt(text: str) -> None:
    expected = {"prompt": text} if text else {}
    assert read(text).given == expected


def test_a_setting_of_a_wrong_value_is_told_and_left_out() -> None:
    found = read(
        "a\nSteps: many, Seed: -1, CFG scale: nan, Size: 5x, Sampler: DPM fast, Clip skip: x"
    )
    assert found.given == {"prompt": "a"}
    assert len(found.left) == 6
    assert "Steps is 'many', which num_inference_steps can't be" in found.left


def test_loras_with_several_weights_and_other_tags_are_told() -> None:
    found = read("a <lora:b:0.5:0.7> <lyco:c> <hypernet:d:1>, e <lora:f:te=0.2:unet=0.2>\n")
    assert found.loras == [("b", 0.5), ("c", 1.0), ("f", 0.2)]
    assert found.given["prompt"] == "a, e"
    assert len(found.left) == 2


def test_json_of_other_programs_is_told() -> None:
    found = read('{"sui_image_params": {"prompt": "a"}}')
    assert found.given == {}
    assert len(found.left) == 1


def test_of_sampler_names_with_a_type_the_type_counts() -> None:
    found = read("a\nSteps: 3, Sampler: DPM++ 2M SDE Karras, Seed: 1")
    assert found.given["scheduler"]["config"]["use_karras_sigmas"] is True
    assert "use_exponential_sigmas" not in found.given["scheduler"]["config"]


# Written

WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="<>\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=40,
).map(lambda text: text.strip())
LINES = st.lists(WORDS, min_size=1, max_size=4).map("\n".join).map(str.strip)


def is_prompt(text: str) -> bool:
    lines = text.split("\n")
    tidy = all(line == line.strip() for line in lines)
    return tidy and "Negative prompt:" not in text and not text.startswith("{")


KEYS = st.from_regex(r"\A[A-Za-z][A-Za-z0-9 ]{0,10}[a-z]\Z")


@given(
    LINES.filter(is_prompt),
    LINES.filter(is_prompt),
    st.dictionaries(KEYS, st.text(st.characters(codec="utf-8"), max_size=40), min_size=3),
)
def test_any_text_that_is_joined_is_split_again(
    prompt: str, negative: str, pairs: dict[str, str]
) -> None:
    assert split(joined(prompt, negative, pairs)) == (prompt, negative, pairs)


def record_of(request: Request, **used: Any) -> Record:
    versions = {"autopipe-core": "0.1.0"}
    drawn = Circumstances(pipeline="P", device="cpu", processor="x", versions=versions, used=used)
    return Record(id=request.id, request=request, drawn=drawn)


SCHEDULERS = st.builds(
    lambda sampler, kind: scheduler_of(sampler, kind)[0],
    st.sampled_from([one for one in SAMPLERS if one.name != "DPM++ 2S a"]),
    st.sampled_from(["Karras", "Exponential", "Beta", "Uniform", "SGM Uniform"]),
)


@given(
    prompt=LINES.filter(is_prompt),
    negative=LINES.filter(is_prompt),
    seed=st.integers(0, 2**63 - 1),
    steps=st.integers(1, 1000),
    guidance=st.floats(0, 100),
    size=st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
    skipped=st.integers(1, 11),
    scheduler=SCHEDULERS,
    weight=st.floats(-2, 2),
    model=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
)
def test_a_record_is_read_as_it_was_written(
    prompt: str,
    negative: str,
    seed: int,
    steps: int,
    guidance: float,
    size: tuple[int, int],
    skipped: int,
    scheduler: Scheduler,
    weight: float,
    model: str,
) -> None:
    arguments = {
        "prompt": prompt,
        "negative_prompt": negative,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "clip_skip": skipped,
    }
    lora = Addition(addon="lora", source="/f/paint.safetensors", strength=weight, sha256="ab" * 32)
    request = Request(
        seed=seed,
        checkpoint=Checkpoint(name=model),
        arguments=arguments,  # type: ignore[arg-type]
        size=size,
        scheduler=scheduler,
        addons=(lora,),
    )
    text = parameters_of(record_of(request))
    found = read(text)
    assert found.program == "autopipe 0.1.0"
    made = Scheduler(**found.given.pop("scheduler"))
    assert sampler_of(made) == sampler_of(scheduler)
    expected = {**arguments, "seed": seed, "size": size}
    assert found.given == {key: value for key, value in expected.items() if value != ""}
    assert found.loras == [("paint", weight)]
    assert found.names["model"] == model
    assert found.left == []
    assert '"paint: ababababab"' in text or "paint: ababababab" in text


def test_what_the_pipeline_chose_is_written() -> None:
    request = Request(seed=5, checkpoint=Checkpoint(name="/a/b-1.5", fingerprint="f"), arguments={})
    used = {"num_inference_steps": 50, "scheduler": "EulerDiscreteScheduler"}
    text = parameters_of(record_of(request, **used), size=(64, 32))
    assert text == (
        "\nSteps: 50, Sampler: Euler, Schedule type: Uniform, Seed: 5, Size: 64x32, Model: b-1.5, "
        "RNG: CPU, Version: autopipe 0.1.0"
    )


# Hostile


@pytest.mark.parametrize(
    "text",
    [
        "a: " * 500_000,
        "a" * 3_000_000,
        "aa: [" * 500_000,
        'aa: ["' * 500_000,
        'aa: "' * 500_000,
        'aa:"\\' * 500_000,
        "aa: {" * 500_000,
        "<lora:" * 500_000,
        "(" * 1_000_000,
        "\n" * 1_000_000 + "Negative prompt:" * 10_000,
        "aa: " + "[" * 1_000_000 + ", bb: 1, cc: 2",
        "Steps: " + "9" * 100_000 + ", Seed: 1e999, CFG scale: inf, Size: 1x" + "9" * 50_000,
        "a\nSteps: 1, Seed: 2, Civitai resources: " + "[" * 100_000 + "]" * 100_000,
        "\ud800<lora:\udfff:1>\nSteps: 1, Seed: 2, Model: \ud800",
        "b\nSteps: 1, Seed: 2, Model: c, Clip skip: ²",
    ],
    ids=range(15),
)
def test_hostile_texts_are_read_in_short_time(text: str) -> None:
    found = read(text)
    assert json.dumps(found.given).encode().decode()
    assert all(len(one) <= 500 for one in (*found.left, *found.differs))


def test_too_long_texts_are_refused() -> None:
    with pytest.raises(ArgumentError, match="4,194,305 characters"):
        read("a" * ((1 << 22) + 1))


@given(st.text(max_size=2000))
def test_any_text_is_read(text: str) -> None:
    assert isinstance(read(text), Foreign)


@given(st.sampled_from([WEB_UI, CIVITAI]), st.data())
def test_changed_texts_are_read(text: str, data: st.DataObject) -> None:
    letters = list(text)
    for _ in range(data.draw(st.integers(1, 10))):
        place = data.draw(st.integers(0, len(letters) - 1))
        letters[place] = data.draw(st.sampled_from([*'",:[]{}<>()\\\n x1', "\ud800", ""]))
    assert isinstance(read("".join(letters)), Foreign)
