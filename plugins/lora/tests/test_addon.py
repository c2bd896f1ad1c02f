"""LoRAs as attachments: views, calls, threads, copies and memory."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import picture
from torch import Tensor, nn

from autopipe import AutoPipelineForImage2Image, DiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError, WeightsMismatchError

from .conftest import draw

State = dict[str, Tensor]
Made = Callable[..., State]


def test_it_acts_by_its_strength_and_leaves_no_trace(pipe: Any, lora: Made) -> None:
    plain = draw(pipe)
    pipe.attach("lora", lora(), name="ink")
    full = draw(pipe)
    assert np.abs(full - plain).max() > 0.01
    pipe.set_attachments({"ink": 0.5})
    half = draw(pipe)
    assert 0.2 < np.linalg.norm(half - plain) / np.linalg.norm(full - plain) < 0.8
    assert np.array_equal(draw(pipe, adapters={}), plain)
    assert np.array_equal(draw(pipe, adapters={"ink": 1}), full)
    pipe.detach("ink")
    assert np.array_equal(draw(pipe), plain)


def test_the_output_of_a_layer_is_that_of_the_changed_weight(pipe: Any, lora: Made) -> None:
    state = lora(layers=("to_q", "conv1"), components=("unet",))
    pipe.attach("lora", state, strength=0.7)
    for path, x in (
        ("mid_block.attentions.0.transformer_blocks.0.attn1.to_q", torch.randn(2, 5, 32)),
        ("mid_block.resnets.0.conv1", torch.randn(2, 32, 4, 4)),
    ):
        module = pipe.unet.get_submodule(path)
        found = module(x)
        plain = pipe.components["unet"].get_submodule(path)
        up, down = (state[f"unet.{path}.lora_{one}.weight"] for one in "BA")
        changed = copy.deepcopy(plain)
        added = (up.flatten(1) @ down.flatten(1)).view_as(plain.weight)
        changed.weight.data += 0.7 * added
        # Rounding of float32, since the sums have another order.
        assert torch.allclose(found, changed(x), atol=1e-5)
        assert not torch.allclose(found, plain(x), atol=1e-2)


def test_the_report_says_what_became_of_the_keys(pipe: Any, lora: Made) -> None:
    state = lora()
    odd = {"unet.nowhere.to_q.lora_A.weight": torch.ones(2, 4)}
    odd |= {"unet.nowhere.to_q.lora_B.weight": torch.ones(4, 2)}
    made = pipe.attach("lora", {**state, **odd})
    assert set(made.report.matched) == set(state)
    assert set(made.report.unmatched) == set(odd)
    assert made.networks == ("unet", "text_encoder")
    assert repr(made) == "Lora('the given state dict')"


def test_a_file_for_other_networks_is_refused_and_nothing_is_attached(
    pipe: Any, lora: Made
) -> None:
    plain = draw(pipe)
    for state in ({"unet.x.lora_A.weight": torch.ones(2, 2)}, {}, {"a": torch.ones(1)}):
        with pytest.raises(WeightsMismatchError):
            pipe.attach("lora", state)
    with pytest.raises(WeightsMismatchError, match="to_k"):
        pipe.attach("lora", {k: v[..., :-1] if "_A" in k else v for k, v in lora().items()})
    assert dict(pipe.attachments) == {}
    assert np.array_equal(draw(pipe), plain)


def test_the_given_tensors_are_copied(pipe: Any, lora: Made) -> None:
    state = lora()
    pipe.attach("lora", state)
    drawn = draw(pipe)
    for one in state.values():
        one.zero_()
    assert np.array_equal(draw(pipe), drawn)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_file_of_another_dtype_is_cast(pipe: Any, lora: Made, dtype: torch.dtype) -> None:
    made = pipe.attach("lora", lora(dtype=dtype))
    assert {one.dtype for one in made.weights.parameters()} == {torch.float32}
    whole = draw(pipe)
    pipe.set_attachments({})
    pipe.attach("lora", lora(), name="whole")
    # Numbers of 8 bits or more differ in the third digit.
    assert np.abs(draw(pipe) - whole).max() < 0.05
    pipe.to(torch.bfloat16)
    assert {one.dtype for one in made.weights.parameters()} == {torch.bfloat16}
    assert np.isfinite(draw(pipe)).all()


def test_calls_in_eight_threads_with_eight_loras_are_bitwise_serial(pipe: Any, lora: Made) -> None:
    for number in range(8):
        pipe.attach("lora", lora(number, dora=number % 4 == 3), name=f"lora_{number}")
    calls = [{f"lora_{n}": 1 - n / 10, f"lora_{(n + 1) % 8}": {"unet": 0.5}} for n in range(8)]
    serial = [draw(pipe, adapters=one) for one in calls]
    assert len({one.tobytes() for one in serial}) == 8
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            drawn = threads.map(lambda one: draw(pipe, adapters=one), calls)
            assert all(map(np.array_equal, drawn, serial))


def test_views_share_weights_and_have_their_own_switches(pipe: Any, lora: Made) -> None:
    plain = draw(pipe)
    made = pipe.attach("lora", lora(), name="ink")
    acting = draw(pipe)
    view = type(pipe).from_pipe(pipe)
    view.set_progress_bar_config(disable=True)
    assert np.array_equal(draw(view), acting)
    view.set_attachments({})
    assert np.array_equal(draw(view), plain)
    assert np.array_equal(draw(pipe), acting)
    assert view.attached(type(made)) == {"ink": made}
    ours, theirs = (one.unet.state_dict(keep_vars=True) for one in (pipe, view))
    assert all(one is theirs[name] for name, one in ours.items())
    change = AutoPipelineForImage2Image.from_pipe(pipe)
    change.set_progress_bar_config(disable=True)
    assert not np.array_equal(
        draw(change, image=picture(), strength=1.0),
        draw(change, image=picture(), strength=1.0, adapters={}),
    )


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies_have_it(pipe: Any, lora: Made, copied: Callable[[Any], Any]) -> None:
    pipe.attach("lora", lora(dora=True), name="ink")
    acting = draw(pipe)
    pipe.set_attachments({"ink": {"unet": 0.5}})
    half = draw(pipe)
    again = copied(pipe)
    assert np.array_equal(draw(again), half)
    assert np.array_equal(draw(again, adapters={"ink": 1}), acting)
    again.set_attachments({})
    assert np.array_equal(draw(pipe), half)


def test_it_is_saved_without(pipe: Any, lora: Made, tmp_path: Any) -> None:
    plain = draw(pipe)
    pipe.attach("lora", lora())
    pipe.save_pretrained(tmp_path)
    again = DiffusionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(draw(again), plain)


def live_bytes() -> int:
    gc.collect()
    # Those of compilers have no memory.
    found = (one for one in gc.get_objects() if type(one) in (Tensor, nn.Parameter))
    storages = (one.untyped_storage() for one in found if one.layout is torch.strided)
    return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


def test_attaching_and_detaching_often_leaves_memory_and_state(pipe: Any, lora: Made) -> None:
    state = lora(dora=True)
    draw(pipe)
    networks = dict(pipe.components)
    before = live_bytes()
    keys = [*pipe.unet.state_dict(keep_vars=True).items()]
    dead = []
    for _ in range(50):
        made = pipe.attach("lora", state)
        dead.append(weakref.ref(made))
        del made
        pipe.detach("lora")
    draw(pipe)
    assert live_bytes() == before
    assert not any(one() for one in dead)
    assert dict(pipe.components) == networks
    assert pipe.unet is networks["unet"]
    after = pipe.unet.state_dict(keep_vars=True).items()
    assert all(name == known and one is was for (name, one), (known, was) in zip(after, keys))


def test_closing_releases_it(pipe: Any, lora: Made) -> None:
    made = weakref.ref(pipe.attach("lora", lora()))
    pipe.close()
    gc.collect()
    assert made() is None


def test_gradients_flow_through_it_and_into_it(pipe: Any, lora: Made) -> None:
    made = pipe.attach("lora", lora(components=("unet",)))
    pipe.unet.train().requires_grad_(False)
    made.weights.requires_grad_(True)
    sample = torch.randn(1, 4, 8, 8, requires_grad=True)
    text = torch.randn(1, 5, 16)
    pipe.unet(sample, 3, text).sample.square().sum().backward()
    assert sample.grad is not None
    assert all(one.grad is not None and one.grad.any() for one in made.weights.parameters())


@pytest.mark.parametrize(
    "strength", ["much", None, float("nan"), {"vea": 1}, {"unet": {"down": {"block_7": 1}}}, {3: 1}]
)
def test_a_strength_that_it_cant_have_changes_nothing(pipe: Any, lora: Made, strength: Any) -> None:
    with pytest.raises(ArgumentError):
        pipe.attach("lora", lora(), strength=strength)
    assert dict(pipe.attachments) == {}
    pipe.attach("lora", lora(), name="ink", strength=0.5)
    drawn = draw(pipe)
    with pytest.raises(ArgumentError):
        pipe.set_attachments({"ink": strength})
    with pytest.raises(ArgumentError):
        draw(pipe, adapters={"ink": strength})
    assert dict(pipe.attachments) == {"ink": 0.5}
    assert np.array_equal(draw(pipe), drawn)


def test_the_scale_of_a_call_multiplies_all(pipe: Any, lora: Made) -> None:
    plain = draw(pipe)
    pipe.attach("lora", lora(), name="ink", strength=0.8)
    pipe.attach("lora", lora(1), name="oil", strength={"unet": 0.6})
    half = draw(pipe, cross_attention_kwargs={"scale": 0.5})
    pipe.set_attachments({"ink": 0.4, "oil": {"unet": 0.3, "text_encoder": 0.5}})
    # The strengths are multiplied in another order.
    assert np.abs(draw(pipe) - half).max() < 1e-5
    assert np.array_equal(draw(pipe, cross_attention_kwargs={"scale": 0}), plain)
    with pytest.raises(ArgumentTypeError, match="scale"):
        draw(pipe, cross_attention_kwargs={"scale": "much"})


def test_what_hooks_saw_of_a_layer_stays(pipe: Any, lora: Made) -> None:
    pipe.attach("lora", lora(components=("unet",)))
    path = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    plain = pipe.components["unet"].get_submodule(path)
    seen: list[Tensor] = []
    handle = plain.register_forward_hook(lambda module, args, output: seen.append(output))
    x = torch.randn(1, 3, 32)
    with torch.no_grad():
        changed = pipe.unet.get_submodule(path)(x)
        handle.remove()
        expected = plain(x)
    assert torch.equal(seen[0], expected)
    assert not torch.equal(changed, expected)


def test_autocast(pipe: Any, lora: Made) -> None:
    pipe.attach("lora", lora(layers=("to_q", "conv1"), components=("unet",)))
    sample, text = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 16)
    with torch.no_grad():
        exact = pipe.unet(sample, 3, text).sample
        with torch.autocast("cpu", torch.bfloat16):
            found = pipe.unet(sample, 3, text).sample
    # Numbers of 8 bits differ in the third digit, over all layers.
    assert torch.allclose(found.float(), exact, atol=0.1)
