"""ComfyUI's `prompt`: the graph of nodes that drew a picture.

It is `{id: {"class_type": ..., "inputs": {...}}}`, where an input is a value or a link
`[id, number of the output]`. Settings are read from a sampler, and by following its links: prompts,
size, model and LoRAs. Graphs can do far more than a request says, so the common ones are read, and
the rest is told.

Source: ComfyUI's `nodes.py` and its page on the format of the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.values import Range
from autopipe.wording import listed, shown

from .found import RANGES, Foreign, number, object_in, text_of

PROGRAM = "ComfyUI"
_SAMPLERS = ("KSampler", "KSamplerAdvanced")
_MODEL_NAMES = ("ckpt_name", "unet_name", "model_name")
_MOST_HOPS = 200
_TEXTS = ("text", "string", "value", "prompt", "positive", "text_g", "clip_l")
_SIDES = ("width", "height")
_NUMBERS = ("value", "int", "float", "number", "seed", "noise_seed")
_KNOWN = (
    *_SAMPLERS, "CheckpointLoaderSimple", "CLIPTextEncode", "CLIPSetLastLayer", "EmptyLatentImage",
    "LoraLoader", "LoraLoaderModelOnly", "PreviewImage", "Reroute", "SaveImage", "UNETLoader",
    "VAEDecode", "VAEEncode", "LoadImage", "EmptySD3LatentImage", "CheckpointLoader",
)  # fmt: skip

Node = Mapping[str, Any]


class Graph:
    """The nodes of a picture, which anyone may have written."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.nodes: dict[str, Node] = {
            key: one
            for key, one in data.items()
            if isinstance(one, dict)
            and isinstance(one.get("class_type"), str)
            and isinstance(one.get("inputs"), dict)
        }

    def linked(self, value: object) -> Node | None:
        """Return the node that an input is linked to, or None."""
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)):
            return self.nodes.get(str(value[0])[:100])
        return None

    def along(self, start: object, *inputs: str) -> Iterator[Node]:
        """Yield the nodes behind a link, always following the first of `inputs` that is a link.

        A node without them is left by its only link. Cycles and very long chains end.
        """
        seen: set[int] = set()
        node = self.linked(start)
        while node is not None and id(node) not in seen and len(seen) < _MOST_HOPS:
            seen.add(id(node))
            yield node
            links = {key: one for key, one in node["inputs"].items() if self.linked(one)}
            named = [links[key] for key in inputs if key in links]
            only = [*links.values()] if len(links) == 1 else []
            node = self.linked(next(iter(named or only), None))

    def value(self, start: object, inputs: tuple[str, ...]) -> object:
        """Return a value, or one of the named inputs of the nodes behind a link."""
        if self.linked(start) is None:
            return start
        for node in self.along(start, *inputs):
            for key in inputs:
                if isinstance(node["inputs"].get(key), (str, int, float)):
                    return node["inputs"][key]
        return None


def read(text: str) -> Foreign:
    """Return the settings in `prompt`.

    Raises:
        ArgumentError: if it isn't a graph with a sampler that is known here.
    """
    graph = Graph(object_in(text, "ComfyUI's 'prompt'"))
    found = Foreign(PROGRAM)
    sampler = _sampler(graph, found)
    inputs = sampler["inputs"]
    seed = inputs.get("noise_seed", inputs.get("seed"))
    found.take("seed", graph.value(seed, _NUMBERS), "seed")
    found.take("guidance_scale", graph.value(inputs.get("cfg"), _NUMBERS), "cfg")
    kind = text_of(graph.value(inputs.get("scheduler"), ("scheduler", "value")))
    found.take_sampler(
        graph.value(inputs.get("sampler_name"), ("sampler_name", "value")), kind or None
    )
    _take_steps(graph, inputs, found)
    positive, negative = (_prompt(graph, inputs.get(n), n) for n in ("positive", "negative"))
    found.take_prompts(positive, negative, grammar="a1111", example="(word:1.2)")
    if found.grammar is not None:
        found.differ("ComfyUI scales weighted words in another way than AUTOMATIC1111's web UI")
    _take_latents(graph, inputs.get("latent_image"), found)
    _take_model(graph, inputs.get("model"), found)
    _take_clip_skip(graph, inputs.get("positive"), found)
    others = {one["class_type"] for one in graph.nodes.values()} - {*_KNOWN}
    if others:
        found.leave(f"nodes that aren't read here: {listed(sorted(others))}")
    return found


def _sampler(graph: Graph, found: Foreign) -> Node:
    """Return the sampler that starts from noise, or the first."""
    samplers = [one for one in graph.nodes.values() if one["class_type"] in _SAMPLERS]
    if not samplers:
        kinds = listed(sorted({one["class_type"] for one in graph.nodes.values()})) or "no node"
        raise ArgumentError(
            f"ComfyUI's 'prompt' has no {listed(_SAMPLERS)}, whose settings are read here, but "
            f"{kinds}; give the settings yourself"
        )
    if len(samplers) > 1:
        found.leave(f"{len(samplers)} samplers; only the first, which starts from noise, is read")
    latents = [graph.linked(one["inputs"].get("latent_image")) for one in samplers]
    return next(
        (one for one, made in zip(samplers, latents) if _is_empty(graph, made)), samplers[0]
    )


def _is_empty(graph: Graph, node: Node | None) -> bool:
    """Whether a node makes latents from nothing but a size."""
    inputs = {} if node is None else node["inputs"]
    others = [one for key, one in inputs.items() if key not in _SIDES]
    return all(side in inputs for side in _SIDES) and not any(map(graph.linked, others))


def _take_steps(graph: Graph, inputs: Mapping[str, Any], found: Foreign) -> None:
    """Take over the steps: ComfyUI counts those that are done, diffusers also those left out."""
    steps = graph.value(inputs.get("steps"), _NUMBERS)
    strength = number(graph.value(inputs.get("denoise"), _NUMBERS), RANGES["strength"])
    done = number(steps, RANGES["num_inference_steps"], whole=True)
    if strength and strength < 1:
        found.given["strength"] = strength
        if done is not None:
            steps = int(done / strength)
    found.take("num_inference_steps", steps, "steps")
    first, last = (number(inputs.get(f"{end}_at_step"), Range(0)) for end in ("start", "end"))
    is_part = bool(first) or (last is not None and done is not None and last < done)
    if is_part or inputs.get("add_noise") == "disable":
        found.leave("its sampler does a part of the steps, or adds no noise")


def _prompt(graph: Graph, start: object, name: str) -> object:
    """Return the text of a prompt: that of the first encoder behind a link."""
    for node in graph.along(start, name, "conditioning", "conditioning_1"):
        if node["class_type"] == "ConditioningZeroOut":
            return None
        if node["class_type"].startswith("CLIPTextEncode"):
            key = next((key for key in _TEXTS if key in node["inputs"]), "text")
            return graph.value(node["inputs"].get(key), _TEXTS)
    return None


def _take_latents(graph: Graph, start: object, found: Foreign) -> None:
    for node in graph.along(start, "samples", "latent", "pixels", "image"):
        inputs = node["inputs"]
        if _is_empty(graph, node):
            if found.given.pop("strength", None) is not None:
                found.leave("a denoise below 1 without an image to start from")
            width, height = (graph.value(inputs[side], (side, *_NUMBERS)) for side in _SIDES)
            found.take_size(width, height, "the size")
            return
        if node["class_type"].startswith("LoadImage"):
            name = text_of(inputs.get("image"))
            found.leave(f"the image {shown(name)} that it starts from; give it yourself")
            return


def _take_model(graph: Graph, start: object, found: Foreign) -> None:
    loras: list[tuple[object, object]] = []
    for node in graph.along(start, "model"):
        inputs = node["inputs"]
        if "lora_name" in inputs:
            strength = inputs.get("strength_model", inputs.get("strength", 1.0))
            weight = graph.value(strength, _NUMBERS)
            loras.append((graph.value(inputs["lora_name"], ("lora_name", "value")), weight))
            if inputs.get("strength_clip", strength) != strength:
                found.leave(
                    f"the weight of {shown(inputs['lora_name'])} for the text encoder; that "
                    f"for the model counts for all networks"
                )
        for key in _MODEL_NAMES:
            found.take_name("model", graph.value(inputs.get(key), (key, "value")))
    for name, weight in reversed(loras):
        found.take_lora(name, weight)


def _take_clip_skip(graph: Graph, start: object, found: Foreign) -> None:
    """Take over the layer that ends the text encoder: -1 is the last, which is 0 in diffusers."""
    for node in graph.along(start, "clip", "conditioning", "positive", "conditioning_1"):
        layer = node["inputs"].get("stop_at_clip_layer")
        if layer is not None:
            if isinstance(layer, int) and layer < -1:
                found.take("clip_skip", -layer - 1, "stop_at_clip_layer")
            return
