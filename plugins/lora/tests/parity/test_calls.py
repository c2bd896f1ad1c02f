"""Calls of LoRAs draw what they draw in diffusers with peft."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.loras import ATTENTION, EVERY, random_lora
from support.pictures import mask, picture
from support.tiny import UNET, seeded

from ..conftest import draw
from .conftest import Pair, assert_same

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

pytestmark = pytest.mark.parity

SD, SDXL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
ENCODERS = {SD: ("text_encoder",), SDXL: ("text_encoder", "text_encoder_2")}


def tensors(pipe: Any, seed: int = 0, **options: Any) -> dict[str, torch.Tensor]:
    # The reference drops the magnitudes of text encoders.
    names = ("unet",) if options.get("dora") else ("unet", "text_encoder", "text_encoder_2")
    found = {name: pipe.components.get(name) for name in names}
    return random_lora(
        {name: one for name, one in found.items() if one is not None}, seed, **options
    )


def both(two: Pair, act: Callable[[Any], Any]) -> None:
    for pipe in two:
        act(pipe)


def same(two: Pair, **call: Any) -> np.ndarray:
    ours, theirs = (draw(pipe, **call) for pipe in two)
    assert_same(ours, theirs)
    return ours


@pytest.mark.parametrize("layers", [ATTENTION, EVERY])
@pytest.mark.parametrize("name", [SD, SDXL])
def test_one(pair: Callable[..., Pair], name: str, layers: tuple[str, ...]) -> None:
    two = pair(name)
    plain = same(two)
    given = tensors(two[0], layers=layers)
    both(two, lambda pipe: pipe.load_lora_weights(dict(given)))
    found = same(two)
    assert np.abs(found - plain).max() > 0.01
    assert two[0].get_list_adapters() == two[1].get_list_adapters()
    for scale in (0.0, 0.5, 1.5):
        same(two, cross_attention_kwargs={"scale": scale})
        both(two, lambda pipe: pipe.set_adapters("default_0", scale))  # noqa: B023
        same(two)
        assert two[0].get_active_adapters() == two[1].get_active_adapters()


BLOCKS: list[Any] = [
    {"unet": 0.3},
    {"text_encoder": 0.2},
    {"unet": {"mid": 0.2}},
    {"unet": {"down": 0.4, "up": {"block_1": 0.3}}, "text_encoder": 0.7},
    {"unet": {"down": {"block_0": [0.1]}, "mid": [0.9], "up": {"block_1": [0.5, 1.5]}}},
    {"unet": {"up": [0.5, 0.25]}},
]


@pytest.mark.parametrize("weights", BLOCKS)
def test_weights_by_component_and_block(pair: Callable[..., Pair], weights: Any) -> None:
    two = pair(SD)
    given = tensors(two[0], layers=EVERY)
    both(two, lambda pipe: pipe.load_lora_weights(dict(given), adapter_name="ink"))
    full = draw(two[0])
    both(two, lambda pipe: pipe.set_adapters("ink", weights))
    assert np.abs(same(two) - full).max() > 0.001


@pytest.mark.parametrize("name", [SD, SDXL])
def test_several(pair: Callable[..., Pair], name: str) -> None:
    two = pair(name)
    for number, label in enumerate(("ink", "oil", "wax")):
        given = tensors(two[0], number, rank=number + 2)
        if label == "wax":
            given = {key: one for key, one in given.items() if key.startswith("unet.")}
        both(two, lambda pipe: pipe.load_lora_weights(dict(given), adapter_name=label))  # noqa: B023
        same(two)
        assert two[0].get_list_adapters() == two[1].get_list_adapters()
    for names, weights in (
        (["ink", "oil"], [0.5, 0.7]),
        (["ink", "oil", "wax"], 0.3),
        (["wax", "ink"], [{"unet": {"mid": 0.1}}, {"text_encoder": 0.5}]),
        ("oil", None),
        (["ink", "oil"], [0.0, 1.0]),
    ):
        both(two, lambda pipe: pipe.set_adapters(names, weights))  # noqa: B023
        same(two)
        assert sorted(two[0].get_active_adapters()) == sorted(two[1].get_active_adapters())
    both(two, lambda pipe: pipe.disable_lora())
    same(two)
    assert two[0].get_active_adapters() == two[1].get_active_adapters()
    both(two, lambda pipe: pipe.set_adapters("wax", 0.8))
    same(two)
    both(two, lambda pipe: pipe.enable_lora())
    same(two)
    both(two, lambda pipe: pipe.delete_adapters("oil"))
    assert two[0].get_list_adapters() == two[1].get_list_adapters()
    same(two)


def test_what_is_loaded_while_disabled_stays_inert(pair: Callable[..., Pair]) -> None:
    two = pair(SD)
    both(two, lambda pipe: pipe.load_lora_weights(tensors(two[0]), adapter_name="ink"))
    both(two, lambda pipe: pipe.disable_lora())
    both(two, lambda pipe: pipe.load_lora_weights(tensors(two[0], 1), adapter_name="oil"))
    same(two)
    both(two, lambda pipe: pipe.enable_lora())
    same(two)


@pytest.mark.parametrize("name", [SD, SDXL])
@pytest.mark.parametrize("dora", [False, True])
def test_fused_and_unfused(pair: Callable[..., Pair], name: str, dora: bool) -> None:
    two = pair(name)
    before = {key: one.clone() for key, one in two[0].unet.state_dict().items()}
    given = tensors(two[0], layers=EVERY, dora=dora)
    both(two, lambda pipe: pipe.load_lora_weights(dict(given), adapter_name="ink"))
    acting = same(two)
    both(two, lambda pipe: pipe.fuse_lora(lora_scale=0.7))
    fused = same(two)
    assert np.abs(fused - acting).max() > 1e-3
    assert two[0].num_fused_loras == two[1].num_fused_loras == 1
    assert two[0].fused_loras == two[1].fused_loras
    same(two, cross_attention_kwargs={"scale": 0.2})
    both(two, lambda pipe: pipe.unfuse_lora())
    assert two[0].num_fused_loras == two[1].num_fused_loras == 0
    assert np.array_equal(draw(two[0]), acting)
    found = two[0].components["unet"].state_dict()
    assert all(torch.equal(found[key], one) for key, one in before.items())


def test_unloaded_after_fusing_it_is_saved_for_both(
    pair: Callable[..., Pair], tmp_path: Path
) -> None:
    two = pair(SD)
    given = tensors(two[0], layers=EVERY)
    both(two, lambda pipe: pipe.load_lora_weights(dict(given)))
    both(two, lambda pipe: pipe.fuse_lora())
    both(two, lambda pipe: pipe.unload_lora_weights())
    drawn = same(two)
    assert two[0].get_list_adapters() == two[1].get_list_adapters() == {}
    for number, pipe in enumerate(two):
        pipe.save_pretrained(tmp_path / str(number))
        for cls in (type(two[0]), type(two[1])):
            again = cls.from_pretrained(tmp_path / str(number))
            again.set_progress_bar_config(disable=True)
            assert_same(draw(again), drawn)


@pytest.mark.parametrize("layers", [ATTENTION, EVERY])
def test_dora(pair: Callable[..., Pair], layers: tuple[str, ...]) -> None:
    two = pair(SD)
    given = tensors(two[0], dora=True, layers=layers)
    both(two, lambda pipe: pipe.load_lora_weights(dict(given), adapter_name="ink"))
    same(two)
    both(two, lambda pipe: pipe.set_adapters("ink", 0.4))
    same(two)
    plain = tensors(two[0], 1)
    both(two, lambda pipe: pipe.load_lora_weights(dict(plain), adapter_name="oil"))
    # A magnitude applies to what was added before; the order here is that of loading.
    both(two, lambda pipe: pipe.set_adapters(["ink", "oil"], [0.8, 0.5]))
    same(two)


@pytest.mark.parametrize("dora", [False, True])
def test_a_network_in_a_loop_of_ones_own(pair: Callable[..., Pair], dora: bool) -> None:
    two = pair(SD)
    given = tensors(two[0], dora=dora, layers=EVERY)
    both(two, lambda pipe: pipe.load_lora_weights(dict(given)))
    sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 12, 16)
    seen = []
    with torch.no_grad():
        # Scaled by 0, a magnitude alone acts in the reference; here nothing does.
        for options in (None, {"scale": 0.4}, {"scale": 1.0}, {"scale": float(dora)}, {}):
            ours, theirs = (
                pipe.unet(sample, 7, text, cross_attention_kwargs=options).sample for pipe in two
            )
            # Rounding of float32 over all layers; predictions are about 1.
            assert torch.allclose(ours, theirs, atol=1e-4)
            seen.append(ours)
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[0], seen[4])
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)


@pytest.mark.parametrize("name", [SD, SDXL])
def test_prompts_in_a_loop_of_ones_own(pair: Callable[..., Pair], name: str) -> None:
    two = pair(name)
    given = tensors(two[0])
    both(two, lambda pipe: pipe.load_lora_weights(dict(given)))
    seen = []
    with torch.no_grad():
        for scale in (None, 0.4):
            options = {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
            ours, theirs = (
                pipe.encode_prompt("a cat", device="cpu", lora_scale=scale, **options)[0]
                for pipe in two
            )
            # Rounding of float32; states are about 1.
            assert torch.allclose(ours, theirs, atol=1e-4)
            seen.append(ours)
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)


def test_with_a_controlnet(pair: Callable[..., Pair]) -> None:
    import autopipe

    config = {
        **{name: UNET[name] for name in UNET if name not in ("up_block_types", "sample_size")},
        "conditioning_embedding_out_channels": (4, 8),
    }
    ours = seeded(lambda: autopipe.ControlNetModel(**config))
    for one in ours.parameters():
        if not one.any():
            # What leads out of a new ControlNet is zero.
            one.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    theirs = diffusers.ControlNetModel(**config).eval()
    theirs.load_state_dict(ours.state_dict())
    two = pair("StableDiffusionControlNetPipeline", controlnet=(ours, theirs))
    call = {"image": picture()}
    plain = same(two, **call)
    both(two, lambda pipe: pipe.load_lora_weights(tensors(two[0])))
    assert np.abs(same(two, **call) - plain).max() > 1e-3
    same(two, **call, cross_attention_kwargs={"scale": 0.5})


@pytest.mark.parametrize("name", ["Img2Img", "Inpaint"])
@pytest.mark.parametrize("family", ["StableDiffusion", "StableDiffusionXL"])
def test_other_tasks(pair: Callable[..., Pair], family: str, name: str) -> None:
    two = pair(f"{family}{name}Pipeline")
    call: dict[str, Any] = {"image": picture(), "strength": 0.8, "num_inference_steps": 3}
    if name == "Inpaint":
        call |= {"mask_image": mask(), "height": 16, "width": 16}
    plain = same(two, **call)
    given = tensors(two[0])
    both(two, lambda pipe: pipe.load_lora_weights(dict(given)))
    assert np.abs(same(two, **call) - plain).max() > 1e-3
    same(two, **call, cross_attention_kwargs={"scale": 0.5})


def test_files_of_both_load_in_both(pair: Callable[..., Pair], tmp_path: Path) -> None:
    two = pair(SDXL)
    given = tensors(two[0])

    def of(component: str) -> dict[str, torch.Tensor]:
        start = f"{component}."
        return {k.removeprefix(start): v for k, v in given.items() if k.startswith(start)}

    layers = {f"{name}_lora_layers": of(name) for name in ("unet", *ENCODERS[SDXL])}
    for number, pipe in enumerate(two):
        type(pipe).save_lora_weights(tmp_path / f"library_{number}", **layers)
    files = sorted(tmp_path.glob("*/*"))
    assert [one.name for one in files] == ["pytorch_lora_weights.safetensors"] * 2
    drawn = []
    for file in files:
        for pipe in two:
            pipe.load_lora_weights(
                file.parent, weight_name=file.name, adapter_name=file.parent.name
            )
        drawn.append(same(two))
    assert np.array_equal(*drawn)


@pytest.mark.parametrize(
    "act",
    [
        lambda pipe, _: pipe.set_adapters("nobody"),
        lambda pipe, _: pipe.set_adapters(["ink"], [0.5, 0.5]),
        lambda pipe, _: pipe.set_adapters("ink", {"unet": {"up": {"block_1": [1.0] * 5}}}),
        lambda pipe, _: pipe.set_adapters("ink", {"unet": {"mid": [1.0, 1.0]}}),
        lambda pipe, _: pipe.set_adapters("ink", {"unet": {"sideways": 1.0}}),
        lambda pipe, _: pipe.fuse_lora(components=[]),
        lambda pipe, _: pipe.fuse_lora(components=["nothing"]),
        lambda pipe, _: pipe.unfuse_lora(components=[]),
        lambda pipe, given: pipe.load_lora_weights(given, adapter_name="ink"),
        lambda pipe, _: pipe.load_lora_weights({"a.b.weight": torch.ones(2)}),
        lambda pipe, _: type(pipe).save_lora_weights("somewhere"),
    ],
)
def test_what_is_refused_is_a_value_error_in_both(pair: Callable[..., Pair], act: Any) -> None:
    two = pair(SD)
    given = tensors(two[0])
    both(two, lambda pipe: pipe.load_lora_weights(dict(given), adapter_name="ink"))
    for pipe in two:
        with pytest.raises(ValueError):
            act(pipe, dict(given))
    same(two)
    assert two[0].get_list_adapters() == two[1].get_list_adapters()


def test_wrong_shapes_are_a_runtime_error_in_both(pair: Callable[..., Pair]) -> None:
    two = pair(SD)
    wrong = {key: one[..., :-1] for key, one in tensors(two[0]).items() if "lora_A" in key}
    given = tensors(two[0]) | wrong
    for pipe in two:
        with pytest.raises(RuntimeError):
            pipe.load_lora_weights(dict(given), adapter_name="ink")
    assert two[0].get_list_adapters() == {}
    assert not any(two[1].get_list_adapters().values())
