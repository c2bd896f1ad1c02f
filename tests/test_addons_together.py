"""The add-ons of several packages on one pipeline, at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from autopipe import AutoPipelineForText2Image

SWITCHES = ("pag", "freeu", "ip_adapter", "t2i_adapter", "default_0")


@pytest.fixture(scope="module")
def draw() -> Callable[..., Any]:
    """Draws with guidance by a degraded network, FreeU, an image prompt, an outline and a LoRA."""
    pipe: Any = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion", enable_pag=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter("demo:ip_adapter")
    pipe.load_lora_weights("demo:lora")
    pipe.attach("t2i_adapter", "demo:t2i_adapter")
    pipe.enable_freeu(s1=0.9, s2=0.9, b1=1.1, b2=1.1)
    pipe.attach("guidance_halves", halves="batched")
    square = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(square).rectangle((20, 20, 44, 44), fill="#ffe232")

    outline = Image.new("L", (64, 64))
    ImageDraw.Draw(outline).ellipse((8, 6, 38, 36), outline="white")

    def drawn(seed: int = 1, **options: Any) -> Any:
        call = {"num_inference_steps": 4, "output_type": "np", "ip_adapter_image": square}
        call["adapter_image"] = outline
        source = torch.Generator().manual_seed(seed)
        return pipe("a red circle", **{**call, **options}, generator=source).images

    drawn.pipe = pipe  # type: ignore[attr-defined]
    return drawn


def test_each_adds_to_the_others(draw: Any) -> None:
    everything = draw()
    active = dict(draw.pipe.attachments)
    assert set(SWITCHES) <= {name for name, strength in active.items() if strength}
    for name in SWITCHES:
        fewer = {n: strength for n, strength in active.items() if n != name}
        image = {"ip_adapter_image": None} if name == "ip_adapter" else {}
        assert abs(draw(adapters=fewer, **image) - everything).max() > 1e-4, name


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_parts_of_a_step_may_run_one_after_the_other(draw: Any, guidance_scale: float) -> None:
    batched = draw(guidance_scale=guidance_scale)
    in_turn = draw(guidance_scale=guidance_scale, guidance_halves="in turn")
    # Batches of another size add up in another order.
    np.testing.assert_allclose(in_turn, batched, atol=1e-4)


def test_threads_are_bitwise_serial(draw: Any) -> None:
    active = dict(draw.pipe.attachments)
    calls = [
        {"seed": n, "pag_scale": n / 2, "adapters": {**active, "freeu": n / 8, "default_0": n / 8}}
        for n in range(8)
    ]
    serial = [draw(**one) for one in calls]
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda one: draw(**one), calls))
    assert all(map(np.array_equal, drawn, serial))


def test_offloading_changes_nothing(draw: Any) -> None:
    everything = draw()
    draw.pipe.enable_sequential_cpu_offload(device="cpu")
    try:
        np.testing.assert_allclose(draw(), everything, atol=1e-4)
    finally:
        draw.pipe.remove_all_hooks()


ADD_ONS = {
    "freeu": {},
    "ip_adapter": {"source": "demo:ip_adapter"},
    "lora": {"source": "demo:lora"},
    "pag": {},
    "t2i_adapter": {"source": "demo:t2i_adapter"},
    "textual_inversion": {"source": "demo:textual_inversion"},
}


@pytest.mark.parametrize("name", ADD_ONS)
def test_fifty_times_attached_and_detached_nothing_is_left(name: str) -> None:
    pipe: Any = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    before = pipe.components
    shown = {part: getattr(pipe, part) for part in before}
    kept: list[Any] = []
    for _ in range(50):
        kept.append(weakref.ref(pipe.attach(name, **ADD_ONS[name])))
        pipe.detach(name)
    gc.collect()
    assert [one for one in kept if one() is not None] == []
    assert pipe.components == before
    assert {part: getattr(pipe, part) for part in before} == shown
