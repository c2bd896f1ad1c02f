"""Perturbed-attention guidance: what it does, its classes, threads and placements."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from autopipe.attaching.network_view import view_of
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.steps.guidance import Contrast
from autopipe_pag.family import PIPELINES
from autopipe_pag.layers import Perturbed, self_attention
from autopipe_pag.perturbed import PerturbedAttention

Draw = Callable[..., Any]


@pytest.fixture
def pipe(build: Callable[..., Any]) -> Any:
    return build(StableDiffusionPipeline)


@pytest.fixture
def guided(build: Callable[..., Any]) -> Any:
    return build(autopipe.StableDiffusionPAGPipeline)


class TestFormula:
    """guided = usual + scale * (with prompt - degraded), from separate runs of the network."""

    @pytest.mark.parametrize("halves", ["batched", "in turn", "positive"])
    @pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
    def test_one_step(
        self, pipe: Any, draw: Draw, networks: Any, halves: str, guidance_scale: float
    ) -> None:
        seen: dict[str, Any] = {}

        class See(autopipe.Attachment):
            """Keeps the guided prediction."""

            name = "see"
            order = 100

            def predict(self, run: Any, tensors: Any, predict: Any, strength: float) -> Any:
                def kept(step: int, timestep: Any) -> Any:
                    seen["latents"], seen["timestep"] = tensors["latents"], timestep
                    run.halves = halves
                    seen["made"] = predict(step, timestep)
                    seen["tensors"] = dict(tensors)
                    return seen["made"]

                return kept

        pipe.attach(PerturbedAttention("mid"))
        pipe.attach(See())
        draw(pipe, num_inference_steps=1, guidance_scale=guidance_scale, pag_scale=2.0)
        paths, everything = self_attention(pipe.unet, ["mid"]), Contrast(rows=10**6)
        everything.rows = 1
        degraded_net = view_of(pipe.unet, [dict.fromkeys(paths, Perturbed(everything))])
        prompt = seen["tensors"]["prompt_embeds"]

        def predicted(net: Any, context: Any) -> Any:
            with torch.no_grad():
                return net(seen["latents"], seen["timestep"], context).sample

        usual = predicted(pipe.unet, prompt[-1:])
        expected = usual + 2 * (usual - predicted(degraded_net, prompt[-1:]))
        if guidance_scale > 1 and halves != "positive":
            expected = expected + (guidance_scale - 1) * (usual - predicted(pipe.unet, prompt[:1]))
        # Batches of another size add up in another order.
        torch.testing.assert_close(seen["made"], expected, rtol=1e-4, atol=1e-4)

    def test_each_pixel_of_a_degraded_layer_attends_to_itself(self, pipe: Any) -> None:
        layer: Any = pipe.unet.get_submodule(self_attention(pipe.unet, ["mid"])[0])
        tokens = torch.randn(3, 4, 32)
        with torch.no_grad():
            found = Perturbed(Contrast(rows=1))(layer, tokens, None, None)
            alone = layer(tokens[2].reshape(4, 1, 32)).reshape(4, 32)
            torch.testing.assert_close(found[:2], layer(tokens[:2]))
        torch.testing.assert_close(found[2], alone)


def test_without_a_scale_nothing_changes(pipe: Any, draw: Draw) -> None:
    plain = draw(pipe)
    pipe.attach("pag")
    assert not np.array_equal(draw(pipe), plain)
    for options in ({"pag_scale": 0}, {"adapters": {}}):
        assert np.array_equal(draw(pipe, **options), plain)
    pipe.detach("pag")
    assert np.array_equal(draw(pipe), plain)


def test_a_strength_multiplies_the_scale(pipe: Any, draw: Draw) -> None:
    pipe.attach("pag", scale=2.0, strength=0.5)
    expected = draw(pipe, adapters={"pag": 1.0}, pag_scale=1.0)
    np.testing.assert_allclose(draw(pipe), expected, atol=1e-6)


def test_an_adaptive_scale_falls_to_zero() -> None:
    addon = PerturbedAttention(scale=3.0, adaptive_scale=0.01)
    assert [addon.scale_at(t) for t in (1000, 900, 700, 1)] == [3.0, 2.0, 0.0, 0.0]


def test_only_steps_with_a_scale_run_a_third_part(
    pipe: Any, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    forward = UNet2DConditionModel.forward

    def counted(self: Any, sample: Any, *args: Any, **options: Any) -> Any:
        batches.append(len(sample))
        return forward(self, sample, *args, **options)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counted)
    pipe.attach("pag")
    draw(pipe, pag_adaptive_scale=0.005)  # Steps at 667, 334 and 1.
    assert batches == [3, 2, 2]


@pytest.mark.parametrize("one", PIPELINES, ids=lambda one: one.name)
def test_every_class_draws_and_differs(build: Callable[..., Any], draw: Draw, one: Any) -> None:
    kind = getattr(autopipe, one.name)
    assert kind.__name__ == one.name
    assert issubclass(kind, getattr(autopipe, one.base))
    pipe = build(kind)
    found = draw(pipe)
    assert np.isfinite(found).all()
    assert abs(found - draw(pipe, pag_scale=0)).max() > 1e-4


def test_with_a_controlnet_that_guesses(build: Callable[..., Any], draw: Draw) -> None:
    pipe = build(autopipe.StableDiffusionControlNetPAGPipeline)
    guessed = draw(pipe, guess_mode=True)
    assert not np.array_equal(guessed, draw(pipe, guess_mode=True, pag_scale=0))


class TestClasses:
    def test_the_flag_selects_them(self, draw: Draw) -> None:
        load = AutoPipelineForText2Image.from_pretrained
        pipe = load("demo:stable_diffusion", enable_pag=True, pag_applied_layers=["up_blocks.1"])
        assert type(pipe) is autopipe.StableDiffusionPAGPipeline
        assert pipe.pag_applied_layers == ["up_blocks.1"]
        assert dict(pipe.attachments) == {"pag": 1.0}
        other = AutoPipelineForImage2Image.from_pipe(pipe)
        assert type(other) is autopipe.StableDiffusionPAGImg2ImgPipeline
        assert other.pag_applied_layers == ["up_blocks.1"]
        assert other.unet is pipe.unet
        plain = AutoPipelineForText2Image.from_pipe(other, enable_pag=False)
        assert type(plain) is StableDiffusionPipeline
        assert dict(plain.attachments) == {}
        again = AutoPipelineForText2Image.from_pipe(plain, enable_pag=True)
        assert dict(again.attachments) == {"pag": 1.0}
        assert type(load("demo:stable_diffusion", enable_pag=False)) is StableDiffusionPipeline
        with pytest.raises(ArgumentTypeError, match="enable_pag='yes' is not True or False"):
            load("demo:stable_diffusion", enable_pag="yes")

    def test_what_is_saved_comes_back(self, tmp_path: Path) -> None:
        load = AutoPipelineForText2Image.from_pretrained
        load("demo:stable_diffusion", enable_pag=True, pag_applied_layers="up").save_pretrained(
            tmp_path
        )
        again = DiffusionPipeline.from_pretrained(tmp_path)
        assert type(again) is autopipe.StableDiffusionPAGPipeline
        assert again.pag_applied_layers == ["up"]
        assert type(load(tmp_path, enable_pag=False)) is StableDiffusionPipeline

    def test_it_can_be_switched_off_but_not_detached(self, guided: Any, draw: Draw) -> None:
        acting = draw(guided)
        with pytest.raises(ArgumentError, match="belongs to StableDiffusionPAGPipeline"):
            guided.detach("pag")
        guided.set_attachments({})
        assert np.array_equal(draw(guided), draw(guided, pag_scale=0))
        guided.set_attachments({"pag": 1.0})
        assert np.array_equal(draw(guided), acting)

    def test_layers_can_be_chosen_later(self, guided: Any, draw: Draw) -> None:
        acting = draw(guided)
        assert list(guided.pag_attn_processors) == [
            "mid_block.attentions.0.transformer_blocks.0.attn1.processor"
        ]
        guided.set_pag_applied_layers(["down_blocks.0", "up_blocks.1"])
        assert len(guided.pag_attn_processors) == 3
        assert not np.array_equal(draw(guided), acting)
        with pytest.raises(ValueError, match="names no self-attention layer"):
            guided.set_pag_applied_layers("middle")
        assert len(guided.pag_attn_processors) == 3

    @pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
    def test_copies(self, guided: Any, draw: Draw, way: Callable[[Any], Any]) -> None:
        guided.set_pag_applied_layers("up_blocks.1")
        assert np.array_equal(draw(way(guided)), draw(guided))


def test_threads_are_bitwise_serial(guided: Any, draw: Draw) -> None:
    calls = [{"seed": n, "pag_scale": n / 2, "guidance_scale": 1 + n % 2} for n in range(8)]
    serial = [draw(guided, **one) for one in calls]
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda one: draw(guided, **one), calls))
    assert all(map(np.array_equal, drawn, serial))


@pytest.mark.parametrize("way", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_it_acts_while_offloaded(pipe: Any, draw: Draw, way: str) -> None:
    alone = copy.deepcopy(pipe)
    alone.attach("pag")
    expected = draw(alone)
    getattr(alone, way)(device="cpu")
    np.testing.assert_allclose(draw(alone), expected, atol=1e-5)


def test_it_acts_with_a_device_map(tmp_path: Path, draw: Draw) -> None:
    load = AutoPipelineForText2Image.from_pretrained
    call = {"prompt": "a red circle", "num_inference_steps": 2, "output_type": "np"}
    drawn = []
    for options in ({}, {"device_map": "balanced", "max_memory": {"cpu": "1GB"}}):
        pipe = load("demo:stable_diffusion", enable_pag=True, **options)
        drawn.append(pipe(**call, generator=torch.Generator().manual_seed(1)).images)
        drawn.append(pipe(**call, pag_scale=0, generator=torch.Generator().manual_seed(1)).images)
    np.testing.assert_allclose(drawn[2], drawn[0], atol=1e-5)
    assert abs(drawn[2] - drawn[3]).max() > 1e-3


def test_the_engine_that_compiles_runs_it(pipe: Any, draw: Draw) -> None:
    alone = copy.deepcopy(pipe)
    alone.attach("pag")
    expected = draw(alone)
    alone.use_engine({"unet": "compile"}, backend="eager")
    np.testing.assert_allclose(draw(alone), expected, atol=1e-5)
    torch._dynamo.utils.counters.clear()
    np.testing.assert_allclose(draw(alone, pag_scale=2), draw(alone, pag_scale=2), atol=1e-6)
    assert not torch._dynamo.utils.counters["recompile_limit"]


def test_other_engines_leave_it_to_eager_mode(
    pipe: Any, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    alone = copy.deepcopy(pipe)
    alone.attach("pag")
    expected = draw(alone)
    alone.use_engine({"unet": "channels_last"})
    assert np.array_equal(draw(alone), expected)
    assert "attachments change it" in caplog.text


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"layers": "nowhere"}, ArgumentError, "names no self-attention layer"),
        ({"layers": []}, ArgumentError, "is empty"),
        ({"layers": 3}, ArgumentTypeError, "give a name"),
        ({"layers": ["mid", 3]}, ArgumentTypeError, "give a name"),
        ({"layers": "mid("}, ArgumentError, "not a regular expression"),
        ({"scale": -1}, ArgumentError, "scale is -1"),
        ({"scale": "1"}, ArgumentTypeError, "scale"),
        ({"adaptive_scale": float("nan")}, ArgumentError, "adaptive_scale"),
    ],
    ids=str,
)
def test_what_can_not_be_used_is_refused(
    pipe: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        pipe.attach("pag", **options)
    assert dict(pipe.attachments) == {}


@pytest.mark.parametrize("name", ["pag_scale", "pag_adaptive_scale"])
def test_calls_refuse_too(guided: Any, draw: Draw, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is -1"):
        draw(guided, **{name: -1})
    with pytest.raises(ArgumentTypeError, match=name):
        draw(guided, **{name: "much"})


def test_a_pipeline_without_guided_steps_is_refused() -> None:
    pipe: Any = SimpleNamespace(components={})
    with pytest.raises(ArgumentError, match="isn't one"):
        PerturbedAttention().check(pipe)
