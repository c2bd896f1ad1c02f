"""The add-on in pipelines: views, calls, threads, placements, copies, and other add-ons."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.placements import PLACES
from torch import nn

from autopipe import AutoPipelineForImage2Image, DiffusionPipeline
from autopipe.attaching.attachment import Attachment
from autopipe.errors import ArgumentError

from .conftest import Adapters, draw, picture, prompts

NAME = "StableDiffusionPipeline"


@pytest.fixture
def file(unets: Any) -> dict[str, Any]:
    return Adapters().file("plain", unets["stable_diffusion"])


@pytest.fixture
def pipe(build: Any, file: Any) -> Any:
    made = build(NAME)
    made.load_ip_adapter(file)
    return made


def test_the_picture_decides_and_unloading_restores(build: Any, file: Any) -> None:
    pipe = build(NAME)
    before, components, unet = draw(pipe), pipe.components, pipe.unet
    names = list(unet.state_dict())
    pipe.load_ip_adapter(file)
    one, other = (draw(pipe, ip_adapter_image=picture(seed)) for seed in (1, 2))
    assert np.abs(one - other).max() > 0.01
    assert np.abs(one - before).max() > 0.01
    assert pipe.components == components
    assert list(pipe.unet.state_dict()) == names
    pipe.unload_ip_adapter()
    pipe.unload_ip_adapter()
    assert pipe.unet is unet
    assert np.array_equal(draw(pipe), before)


def test_a_scale_of_zero_draws_without_it(pipe: Any, build: Any) -> None:
    pipe.set_ip_adapter_scale(0)
    plain = draw(build(NAME))
    assert np.array_equal(draw(pipe, ip_adapter_image=picture(1)), plain)
    assert np.array_equal(draw(pipe), plain)
    assert pipe.unet is pipe.components["unet"]
    # What is shown can be given again, as attaching another add-on does.
    assert pipe.attachments == {"ip_adapter": 0.0}
    pipe.attach("guidance_halves")
    assert np.array_equal(draw(pipe), plain)


def test_the_scale_belongs_to_a_view_and_a_call_has_its_own(pipe: Any) -> None:
    given = {"ip_adapter_image": picture(1)}
    whole = draw(pipe, **given)
    pipe.set_ip_adapter_scale(0.4)
    weak = draw(pipe, **given)
    assert np.array_equal(draw(pipe, adapters={"ip_adapter": 1.0}, **given), whole)
    other = type(pipe).from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    other.set_ip_adapter_scale({"mid": 1.0, "up": {"block_1": [1.0, 1.0]}, "down": 1.0})
    assert np.array_equal(draw(other, **given), whole)
    assert np.array_equal(draw(pipe, **given), weak)
    assert pipe.attachments == {"ip_adapter": (0.4,)}


def test_eight_threads_with_eight_pictures_and_scales_are_bitwise_serial(pipe: Any) -> None:
    calls = [
        {"ip_adapter_image": picture(i), "adapters": {"ip_adapter": i / 4}} for i in range(1, 9)
    ]
    serial = [draw(pipe, **one) for one in calls]
    assert len({one.tobytes() for one in serial}) == 8
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda one: draw(pipe, **one), calls))
    assert all(map(np.array_equal, drawn, serial))


HOW = {
    **PLACES,
    "compile": lambda pipe: pipe.use_engine("compile", backend="eager"),
    # It leaves networks that add-ons change to eager mode.
    "channels_last": lambda pipe: pipe.use_engine({"unet": "channels_last"}),
}


@pytest.mark.parametrize("how", HOW)
def test_it_acts_under_every_placement(pipe: Any, how: str) -> None:
    given = {"ip_adapter_image": picture(1)}
    acting = draw(pipe, **given)
    HOW[how](pipe)
    try:
        assert np.array_equal(draw(pipe, **given), acting)
    finally:
        pipe.remove_all_hooks()


@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_weights_follow_casts(kind: str, build: Any, unets: Any) -> None:
    pipe = copy.deepcopy(build(NAME, text_encoder=None))
    file = Adapters().file(kind, unets["stable_diffusion"])
    half = {part: {n: one.half() for n, one in tensors.items()} for part, tensors in file.items()}
    pipe.load_ip_adapter(half)
    assert {one.dtype for one in pipe.attached(Attachment)["ip_adapter"].weights.parameters()} == {
        torch.float32
    }
    pipe.to(torch.bfloat16)
    found = pipe(
        **{n: one.bfloat16() for n, one in prompts(NAME).items()},
        num_inference_steps=2,
        ip_adapter_image=picture(1),
        output_type="latent",
    ).images
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies_have_it_too(pipe: Any, make: Any) -> None:
    given = {"ip_adapter_image": picture(1)}
    pipe.set_ip_adapter_scale(0.5)
    made = make(pipe)
    assert np.array_equal(draw(made, **given), draw(pipe, **given))
    made.set_ip_adapter_scale(1.0)
    assert pipe.attachments == {"ip_adapter": (0.5,)}


def test_a_saved_pipeline_is_the_one_without_it(pipe: Any, build: Any, tmp_path: Path) -> None:
    whole = build(NAME)
    for name, one in (("with", pipe), ("without", whole)):
        one.unet.save_pretrained(tmp_path / name)
    files = [sorted(path.iterdir()) for path in (tmp_path / "with", tmp_path / "without")]
    assert [one.read_bytes() for one in files[0]] == [one.read_bytes() for one in files[1]]


def test_loading_another_replaces_it_and_a_failure_keeps_it(pipe: Any, unets: Any) -> None:
    given = {"ip_adapter_image": picture(1)}
    first = draw(pipe, **given)
    with pytest.raises(ArgumentError, match="for another base model"):
        pipe.load_ip_adapter(Adapters(1).file("plain", unets["sdxl"]))
    assert np.array_equal(draw(pipe, **given), first)
    pipe.load_ip_adapter(Adapters(1).file("plain", unets["stable_diffusion"]))
    assert list(pipe.attachments) == ["ip_adapter"]
    assert np.abs(draw(pipe, **given) - first).max() > 0.01


def test_fifty_times_attached_and_detached_nothing_is_left(pipe: Any, file: Any) -> None:
    pipe.unload_ip_adapter()
    kept: list[Any] = []
    for _ in range(50):
        pipe.load_ip_adapter(file)
        kept.append(weakref.ref(pipe.attached(Attachment)["ip_adapter"]))
        pipe.unload_ip_adapter()
    gc.collect()
    assert not any(one() for one in kept)
    assert pipe.unet is pipe.components["unet"]


def test_a_state_dict_is_not_kept_after_its_tensors_are_cast(build: Any, file: Any) -> None:
    half = {part: {n: one.half() for n, one in tensors.items()} for part, tensors in file.items()}
    kept = weakref.ref(half["image_proj"]["proj.weight"])
    pipe = build(NAME)
    pipe.load_ip_adapter(half)
    del half
    gc.collect()
    assert kept() is None


def test_another_task_has_it_too(pipe: Any) -> None:
    change = AutoPipelineForImage2Image.from_pipe(pipe)
    change.set_progress_bar_config(disable=True)
    given = {"image": picture(3, 16), "strength": 0.8, "ip_adapter_image": picture(1)}
    assert np.abs(draw(change, **given) - draw(change, **given, adapters={})).max() > 0.01


class Weaker(Attachment):
    """Halves the queries of attention to the prompt, as a LoRA might."""

    name = "weaker"

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Any]:
        paths = [p for p, _ in network.named_modules() if p.endswith("attn2.to_q")]
        return {path: _halved for path in paths if component == "unet"}


def _halved(layer: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    return layer(hidden) / 2


def test_it_sees_what_other_addons_change_in_the_same_layers(build: Any, file: Any) -> None:
    def drawn(*steps: str) -> np.ndarray:
        pipe = build(NAME)
        for step in steps:
            pipe.attach(Weaker()) if step == "weaker" else pipe.load_ip_adapter(file)
        return draw(pipe, **({"ip_adapter_image": picture(1)} if "image" in steps else {}))

    together = drawn("weaker", "image")
    assert np.array_equal(together, drawn("image", "weaker"))
    for alone in ("image", "weaker"):
        assert np.abs(together - drawn(alone)).max() > 0.001


def test_halves_of_guidance_in_turn_draw_the_same(pipe: Any) -> None:
    given = {"ip_adapter_image": [[picture(1), picture(2)]]}
    batched = draw(pipe, **given)
    pipe.attach("guidance_halves", halves="in turn")
    # The same operations on smaller batches, which kernels may round differently.
    assert np.abs(draw(pipe, **given) - batched).max() < 1e-5


def test_steps_without_guidance_see_the_picture(pipe: Any) -> None:
    given = {"ip_adapter_image": picture(1)}
    pipe.attach("guidance_interval", interval=(0.0, 1e-9))
    # No step has its middle there, so all are without guidance.
    assert np.array_equal(draw(pipe, **given), draw(pipe, **given, guidance_scale=1.0))


def test_a_callback_may_turn_guidance_off(pipe: Any) -> None:
    def off(run: Any, step: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        run._guidance_scale = 0.0
        return {"prompt_embeds": tensors["prompt_embeds"].chunk(2)[-1]} if step == 0 else {}

    found = draw(
        pipe,
        ip_adapter_image=picture(1),
        callback_on_step_end=off,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    assert np.abs(found - draw(pipe, ip_adapter_image=picture(1))).max() > 0.001


def test_with_a_step_cache(pipe: Any) -> None:
    given = {"ip_adapter_image": picture(1)}
    plain = draw(pipe, **given)
    pipe.attach("step_cache", interval=2, depth=1)
    assert np.array_equal(draw(pipe, **given, cache_interval=1), plain)
    one, other = (draw(pipe, ip_adapter_image=picture(seed)) for seed in (1, 2))
    assert np.abs(one - other).max() > 0.01


def test_each_prompt_may_have_embeddings_of_its_own(pipe: Any) -> None:
    alone = [
        pipe.prepare_ip_adapter_image_embeds(picture(seed), None, "cpu", 1, False)[0]
        for seed in (1, 2)
    ]
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    given = prompts(NAME, 2)
    both = pipe(
        **given,
        latents=noise.clone(),
        num_inference_steps=2,
        guidance_scale=1.0,
        ip_adapter_image_embeds=[torch.cat(alone)],
        output_type="np",
    ).images
    for i, embeds in enumerate(alone):
        expected = pipe(
            **{name: one[i : i + 1] for name, one in given.items()},
            latents=noise[i : i + 1].clone(),
            num_inference_steps=2,
            guidance_scale=1.0,
            ip_adapter_image_embeds=[embeds],
            output_type="np",
        ).images
        # The same operations in another batch, which kernels may round differently.
        assert np.abs(both[i] - expected[0]).max() < 1e-5


def test_a_loop_of_ones_own_passes_the_embeddings_to_the_network(pipe: Any) -> None:
    embeds = pipe.prepare_ip_adapter_image_embeds(picture(1), None, None, 1, True)
    sample, text = torch.zeros(2, 4, 8, 8), torch.zeros(2, 5, 12)
    added = {"image_embeds": embeds}
    with torch.no_grad():
        found = pipe.unet(sample, 1, text, added_cond_kwargs=added).sample
        plain = pipe.components["unet"](sample, 1, text).sample
        with pytest.raises(ArgumentError, match="pass added_cond_kwargs"):
            pipe.unet(sample, 1, text)
        with pytest.raises(ArgumentError, match="for 2 samples; the U-Net gets 1"):
            pipe.unet(sample[:1], 1, text[:1], added_cond_kwargs=added)
    assert (found - plain).abs().max() > 0.01


def test_pipelines_without_a_fitting_network_say_so(build: Any, file: Any) -> None:
    class Bare(DiffusionPipeline):
        def __init__(self, scheduler: Any) -> None:
            self.register_modules(scheduler=scheduler)

    pipe: Any = Bare(build(NAME).scheduler)
    with pytest.raises(ArgumentError, match="needs a pipeline with a UNet2DConditionModel"):
        pipe.load_ip_adapter(file)
