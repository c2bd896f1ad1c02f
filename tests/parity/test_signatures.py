"""Whatever diffusers has under the name of one of ours takes the same arguments by position."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import autopipe
from autopipe.registry import default_registry

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

FAMILIES = default_registry().families.values()
PIPELINES = [p.name for f in FAMILIES for p in f.pipelines]
COMPONENTS = [c.name for f in FAMILIES for c in f.components]
METHODS = ("__init__", "__call__", "encode_prompt", "interpolate", "forward", "step", "from_unet")
SCRIPTED = (
    "_encode_prompt", "_encode_vae_image", "_get_add_time_ids", "check_image", "check_inputs",
    "decode_latents", "encode_image", "get_guidance_scale_embedding", "get_timesteps",
    "prepare_control_image", "prepare_extra_step_kwargs", "prepare_image",
    "prepare_intermediate_images", "prepare_latents", "prepare_mask_latents", "preprocess_image",
    "preprocess_mask_image", "preprocess_original_image", "run_safety_checker", "upcast_vae",
)  # fmt: skip
"""What programs with a loop of their own call, in the classes that have it in diffusers."""

OTHERS_BY_KEYWORD = {"Transformer2DModel"}
"""Classes of theirs with several forms, of which ours has one, and its arguments."""

OWN_ARGUMENTS = {
    ("StableUnCLIPPipeline", "prepare_latents"),
    *((f"Flux{task}Pipeline", "prepare_latents") for task in ("Img2Img", "Inpaint")),
    *((f"ZImage{task}Pipeline", "prepare_latents") for task in ("Img2Img", "Inpaint")),
    *((f"{name}InpaintPipeline", "prepare_mask_latents") for name in ("Flux", "StableDiffusion3")),
}
"""Methods whose arguments are those of the house, since the steps of a call give them."""

ENCODERS = {f"{part}{n}" for part in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")}
"""What calls of Stable Diffusion 3 can do without, given embeddings or other encoders."""

ORDER_OF_CALLS = {"StableDiffusionDepth2ImgPipeline", "StableUnCLIPPipeline"}
"""Pipelines whose order of offloading leaves out a network in diffusers, or isn't that of calls."""

OTHER_ORDER = {"prepare_latents": ["add_noise"]}
"""What programs give by keyword: in one family of theirs it comes before the last two."""


BESIDE = {i.name for one in default_registry().of("addon").values() for i in one.inputs}
"""The arguments that add-ons bring to calls, which they take by keyword."""

WITHOUT_EFFECT = {
    "add_neg_time_ids", "negative_add_time_ids", "negative_prompt_embeds",
    "negative_pooled_prompt_embeds",
}  # fmt: skip
"""What classes of theirs with an add-on offer to callbacks, and don't read again."""


OF_PAG_INPAINTING = {"guidance_rescale", "strength"}
"""What this class has as inpainting without the add-on has it; docs/differences.md says so."""


def has_add_ons(name: str) -> bool:
    """Whether a pipeline is the class without an add-on, with the add-on attached.

    Such a class takes arguments in the order of the class without it. Theirs were written anew, and
    lack some of its arguments.
    """
    return bool(getattr(getattr(autopipe, name), "own_attachments", None))


def in_common(names: Any, others: Any) -> list[str]:
    """Return those of `names` that are in `others`, in their order."""
    return [name for name in names if name in others]


def shared(names: list[str], methods: tuple[str, ...]) -> list[Any]:
    """A case for each of the methods that both classes of a name have."""
    return [
        pytest.param(name, method, id=f"{name}.{method}")
        for name in names
        for method in methods
        if hasattr(diffusers, name) and hasattr(getattr(diffusers, name), method)
    ]


def by_position(function: Any) -> dict[str, Any]:
    """What may be passed by position, with its default; lists are made tuples."""
    return {
        name: tuple(p.default) if isinstance(p.default, list) else p.default
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }


@pytest.mark.parametrize(("name", "method"), shared([*PIPELINES, *COMPONENTS], METHODS))
def test_names_order_and_defaults(name: str, method: str) -> None:
    ours = by_position(getattr(getattr(autopipe, name), method))
    theirs = by_position(getattr(getattr(diffusers, name), method))
    required = inspect.Parameter.empty
    if name in OTHERS_BY_KEYWORD:
        assert required not in [ours[one] for one in in_common(ours, theirs)][2:]
        return
    if has_add_ons(name):
        assert in_common(ours, theirs) == in_common(theirs, ours)
        absent = OF_PAG_INPAINTING if name == "StableDiffusionPAGInpaintPipeline" else set()
        assert set(theirs) - absent <= {*ours, *BESIDE, "pag_applied_layers"}
        shared_names = [n for n in in_common(theirs, ours) if n not in ("callback_steps", *absent)]
        assert [n for n in shared_names if theirs[n] not in (ours[n], required)] == []
        return
    assert list(ours)[: len(theirs)] == list(theirs)
    for parameter, default in theirs.items():  # what they require, ours may do without
        assert default in (ours[parameter], required), parameter
    assert required not in list(ours.values())[len(theirs) :]


@pytest.mark.parametrize(
    ("name", "method"),
    [one for one in shared(PIPELINES, SCRIPTED) if one.values not in OWN_ARGUMENTS],
)
def test_methods_that_programs_call(name: str, method: str) -> None:
    ours, theirs = (getattr(getattr(one, name), method) for one in (autopipe, diffusers))
    known = inspect.signature(ours).parameters
    wanted = [n for n in by_position(theirs) if n not in OTHER_ORDER.get(method, [])]
    given = [n for n in by_position(ours) if n not in OTHER_ORDER.get(method, [])]
    if has_add_ons(name):
        assert in_common(given, wanted) == in_common(wanted, given)
    else:
        assert given[: len(wanted)] == wanted
    assert set(by_position(theirs)) <= set(known)
    for parameter, default in by_position(theirs).items():
        assert default in (known[parameter].default, inspect.Parameter.empty), parameter


@pytest.mark.parametrize("name", [n for n in PIPELINES if hasattr(diffusers, n)])
def test_declarations_of_pipelines(name: str) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    # The image encoder is of IP-Adapters, which are not run; not all of theirs place it.
    if theirs.model_cpu_offload_seq is not None:  # What ONNX Runtime runs is not offloaded.
        order = [cls.model_cpu_offload_seq.replace("image_encoder->", "") for cls in (ours, theirs)]
        if name in ORDER_OF_CALLS:
            order = [sorted({*order[1].split("->")} & {*one.split("->")}) for one in order]
        assert order[0] == order[1]
    excluded, theirs_excluded = (set(one._exclude_from_cpu_offload) for one in (ours, theirs))
    assert excluded == theirs_excluded or (name in ORDER_OF_CALLS and excluded < theirs_excluded)
    # One of theirs, only, can't do without a watermarker. Some can do without encoders unsaid.
    more = {"watermarker"} | (ENCODERS if name.startswith("StableDiffusion3") else set())
    assert set(ours._optional_components) - set(theirs._optional_components) <= more
    assert set(theirs._optional_components) <= set(ours._optional_components)
    offered = set(getattr(theirs, "_callback_tensor_inputs", ()))
    offered -= WITHOUT_EFFECT if has_add_ons(name) else set()
    assert offered <= set(ours._callback_tensor_inputs)
