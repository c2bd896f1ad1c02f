"""ComfyUI's graphs: settings are found by following links."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe.errors import ArgumentError
from autopipe_requests.foreign import Foreign, foreign_of


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


GRAPH: dict[str, Any] = {
    "3": node(
        "KSampler",
        seed=156680208700286,
        steps=20,
        cfg=8.0,
        sampler_name="dpmpp_2m",
        scheduler="karras",
        denoise=1.0,
        model=["11", 0],
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="v1-5.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a hut", clip=["12", 0]),
    "7": node("CLIPTextEncode", text="fog", clip=["12", 0]),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", images=["8", 0], filename_prefix="a"),
    "10": node(
        "LoraLoader",
        lora_name="one.safetensors",
        strength_model=0.8,
        strength_clip=0.8,
        model=["4", 0],
        clip=["4", 1],
    ),
    "11": node(
        "LoraLoaderModelOnly", lora_name="two.safetensors", strength_model=0.5, model=["10", 0]
    ),
    "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
}


def changed(**nodes: Any) -> dict[str, Any]:
    """The graph with other inputs of nodes, or other nodes; names begin with `n`."""
    graph = copy.deepcopy(GRAPH)
    for name, one in nodes.items():
        key = name.removeprefix("n")
        if "class_type" in one:
            graph[key] = one
        else:
            graph[key]["inputs"] |= one
    return graph


def read(graph: object) -> Foreign:
    found = foreign_of({"prompt": graph if isinstance(graph, str) else json.dumps(graph)})
    assert found is not None
    return found


def test_the_usual_graph_is_read() -> None:
    found = read(GRAPH)
    assert found.program == "ComfyUI"
    scheduler = found.given.pop("scheduler")
    assert found.given == {
        "prompt": "a hut",
        "negative_prompt": "fog",
        "num_inference_steps": 20,
        "guidance_scale": 8.0,
        "seed": 156680208700286,
        "size": (512, 768),
        "clip_skip": 1,
    }
    assert scheduler["name"] == "DPMSolverMultistepScheduler"
    assert scheduler["config"]["use_karras_sigmas"] is True
    assert found.names == {"model": "v1-5.safetensors"}
    assert found.loras == [("one.safetensors", 0.8), ("two.safetensors", 0.5)]
    assert (found.left, found.differs) == ([], [])


def test_values_behind_links_and_reroutes_are_read() -> None:
    found = read(
        changed(
            n3={"seed": ["20", 0], "positive": ["21", 0], "negative": ["23", 0]},
            n20=node("PrimitiveInt", value=77),
            n21=node("Reroute", any=["22", 0]),
            n22=node("ControlNetApply", conditioning=["6", 0], image=["30", 0], strength=1.0),
            n23=node("ConditioningZeroOut", conditioning=["6", 0]),
            n6={"text": ["24", 0]},
            n24=node("StringConcatenate", value="a boat", other=["25", 0]),
            n25=node("Note", text="no"),
            n30=node("LoadImage", image="edges.png"),
        )
    )
    assert found.given["seed"] == 77
    assert found.given["prompt"] == "a boat"
    assert "negative_prompt" not in found.given
    kinds = "ConditioningZeroOut, ControlNetApply, Note, PrimitiveInt, StringConcatenate"
    assert found.left == [f"nodes that aren't read here: {kinds}"]


def test_the_advanced_sampler_is_read() -> None:
    inputs = {
        key: value for key, value in GRAPH["3"]["inputs"].items() if key not in ("seed", "denoise")
    }
    inputs |= {"noise_seed": 5, "add_noise": "enable", "start_at_step": 0, "end_at_step": 10000}
    graph = changed(n3=node("KSamplerAdvanced", **inputs))
    assert read(graph).given["seed"] == 5
    assert read(graph).left == []
    graph["3"]["inputs"]["end_at_step"] = 12
    assert read(graph).left == ["its sampler does a part of the steps, or adds no noise"]


def test_the_first_of_several_samplers_is_read() -> None:
    second = {**GRAPH["3"]["inputs"], "seed": 1, "denoise": 0.5, "latent_image": ["41", 0]}
    graph = {
        "2": node("KSampler", **second),
        "41": node("LatentUpscale", samples=["3", 0], width=1024, height=1536),
        **GRAPH,
    }
    found = read(graph)
    assert found.given["seed"] == 156680208700286
    assert found.given["size"] == (512, 768)
    assert any(one.startswith("2 samplers") for one in found.left)


def test_an_image_to_start_from_keeps_the_number_of_steps_that_are_done() -> None:
    found = read(
        changed(
            n3={"denoise": 0.5, "latent_image": ["40", 0]},
            n40=node("VAEEncode", pixels=["41", 0], vae=["4", 2]),
            n41=node("LoadImage", image="photo.png"),
        )
    )
    assert found.given["strength"] == 0.5
    assert found.given["num_inference_steps"] == 40
    assert "size" not in found.given
    assert found.left == ["the image 'photo.png' that it starts from; give it yourself"]


def test_weights_of_words_and_noise_in_steps_are_told() -> None:
    found = read(changed(n6={"text": "a (hut:1.2)"}, n3={"sampler_name": "euler_ancestral"}))
    assert found.grammar == "a1111"
    assert any("ComfyUI scales" in one for one in found.differs)
    assert any("Euler a adds noise" in one for one in found.differs)


def test_cycles_and_long_chains_end() -> None:
    graph = changed(
        n6={"text": ["20", 0]},
        n20=node("Reroute", text=["21", 0]),
        n21=node("Reroute", text=["20", 0]),
        n3={"model": ["c0", 0]},
    )
    graph |= {f"c{i}": node("Reroute", model=[f"c{i + 1}", 0]) for i in range(10_000)}
    found = read(graph)
    assert "prompt" not in found.given
    assert found.names == {}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        "[" * 100_000,
        '{"3":' * 100_000,
        json.dumps({"1": node("SamplerCustomAdvanced", noise=["2", 0])}),
        json.dumps({"1": {"class_type": "KSampler", "inputs": []}}),
    ],
)
def test_other_graphs_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="ComfyUI's 'prompt'"):
        read(text)


LINKS = st.tuples(st.sampled_from([*GRAPH]), st.just(0)).map(list)
VALUES = st.one_of(
    LINKS, LINKS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9),
    st.lists(st.integers(), max_size=3), st.just({"a": []}), st.just([[], 0]), st.just([{}, 0]),
    st.integers(10**400, 10**401),
)  # fmt: skip
PLACES = [(key, name) for key, one in GRAPH.items() for name in one["inputs"]]


@given(st.dictionaries(st.sampled_from(PLACES), VALUES, max_size=12))
def test_any_inputs_are_read(values: dict[tuple[str, str], Any]) -> None:
    graph = copy.deepcopy(GRAPH)
    for (key, name), value in values.items():
        graph[key]["inputs"][name] = value
    found = read(graph)
    assert json.dumps(found.given, allow_nan=False)
    assert all(len(one) <= 500 for one in found.left)


@given(st.text(max_size=300))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError):
        read(text)
