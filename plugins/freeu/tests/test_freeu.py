"""FreeU: what it does to features, on pipelines and on U-Nets."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.placements import PLACES
from support.tiny import UNET, WIDTH, seeded

import autopipe
from autopipe import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_freeu.addon import FreeU
from autopipe_freeu.factors import Factors, Scaled, changes, scaled_lows

Draw = Callable[..., Any]
FACTORS = {"s1": 0.8, "s2": 0.3, "b1": 1.4, "b2": 1.2}


@pytest.fixture
def pipe(build: Callable[..., Any]) -> Any:
    return build(StableDiffusionPipeline)


@pytest.fixture
def unet() -> UNet2DConditionModel:
    return seeded(lambda: UNet2DConditionModel(**UNET))


@pytest.fixture
def given() -> tuple[Any, ...]:
    source = torch.Generator().manual_seed(1)
    context = torch.randn(2, 5, WIDTH, generator=source)
    return torch.randn(2, 4, 8, 8, generator=source), 500, context


class TestFeatures:
    def test_a_mean_is_scaled_and_fine_detail_is_not(self) -> None:
        flat = torch.full((1, 2, 8, 8), 3.0)
        torch.testing.assert_close(scaled_lows(flat, 0.2), flat * 0.2)
        rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
        checkered = ((rows + columns) % 2 * 2 - 1.0)[None, None]
        torch.testing.assert_close(scaled_lows(checkered, 0.2), checkered)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_of_any_size(self, dtype: torch.dtype) -> None:
        features = torch.randn(1, 2, 7, 5).to(dtype)
        found = scaled_lows(features, 0.5)
        assert found.dtype == dtype
        expected = scaled_lows(features.float(), 0.5)
        torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)

    def test_half_of_the_backbone_is_scaled(self) -> None:
        joined = torch.randn(1, 6, 4, 4)
        found = Scaled(4, 1.0, 1.5).apply(joined)
        torch.testing.assert_close(found[:, :2], joined[:, :2] * 1.5)
        torch.testing.assert_close(found[:, 2:], joined[:, 2:])

    def test_it_knows_where_features_end_and_skip_connections_begin(
        self, unet: UNet2DConditionModel
    ) -> None:
        found = {path: one.channels for path, one in changes(unet, Factors())}
        assert found == {
            "up_blocks.0.resnets.0": 32,
            "up_blocks.0.resnets.1": 32,
            "up_blocks.1.resnets.0": 32,
            "up_blocks.1.resnets.1": 16,
        }


class TestPipeline:
    def test_it_acts_on_this_pipeline_alone(self, pipe: Any, draw: Draw) -> None:
        other = StableDiffusionPipeline.from_pipe(pipe)
        other.set_progress_bar_config(disable=True)
        plain = draw(pipe)
        pipe.enable_freeu(**FACTORS)
        acting = draw(pipe)
        assert abs(acting - plain).max() > 1e-3
        assert np.array_equal(draw(other), plain)
        other.enable_freeu(s1=0.9, s2=0.9, b1=1.1, b2=1.1)
        assert np.array_equal(draw(pipe), acting)
        assert not np.array_equal(draw(other), acting)
        pipe.disable_freeu()
        pipe.disable_freeu()
        assert np.array_equal(draw(pipe), plain)

    def test_the_attribute_shows_it_and_saving_does_not(self, pipe: Any, given: Any) -> None:
        before = pipe.unet(*given).sample
        names = list(pipe.unet.state_dict())
        pipe.enable_freeu(**FACTORS)
        assert not torch.equal(pipe.unet(*given).sample, before)
        assert torch.equal(pipe.components["unet"](*given).sample, before)
        assert list(pipe.unet.state_dict()) == names

    def test_strengths(self, pipe: Any, draw: Draw) -> None:
        plain = draw(pipe)
        pipe.attach("freeu", **FACTORS)
        acting = draw(pipe)
        assert np.array_equal(draw(pipe, adapters={"freeu": 0}), plain)
        assert np.array_equal(draw(pipe, adapters={"freeu": FACTORS}), acting)
        assert np.array_equal(draw(pipe, adapters={"freeu": tuple(FACTORS.values())}), acting)
        ones = draw(pipe, adapters={"freeu": (1, 1, 1, 1)})
        np.testing.assert_allclose(ones, plain, atol=1e-5)
        halved = {"s1": 0.9, "s2": 0.65, "b1": 1.2, "b2": 1.1}
        expected = draw(pipe, adapters={"freeu": halved})
        np.testing.assert_allclose(draw(pipe, adapters={"freeu": 0.5}), expected, atol=1e-6)
        with pytest.raises(ArgumentError, match="s1 is"):
            draw(pipe, adapters={"freeu": 9})

    def test_threads_are_bitwise_serial(self, pipe: Any, draw: Draw) -> None:
        pipe.attach("freeu")
        calls = [{"seed": n, "adapters": {"freeu": n / 8}} for n in range(8)]
        serial = [draw(pipe, **one) for one in calls]
        with ThreadPoolExecutor(8) as threads:
            drawn = list(threads.map(lambda one: draw(pipe, **one), calls))
        assert all(map(np.array_equal, drawn, serial))

    @pytest.mark.parametrize("how", [*PLACES, "compile"])
    def test_it_acts_under_every_placement(self, pipe: Any, draw: Draw, how: str) -> None:
        alone = copy.deepcopy(pipe)
        alone.enable_freeu(**FACTORS)
        acting = draw(alone)
        if how == "compile":
            alone.use_engine("compile", backend="eager")
        else:
            PLACES[how](alone)
        np.testing.assert_allclose(draw(alone), acting, atol=1e-5)

    def test_other_engines_leave_it_to_eager_mode(
        self, pipe: Any, draw: Draw, caplog: pytest.LogCaptureFixture
    ) -> None:
        alone = copy.deepcopy(pipe)
        alone.enable_freeu(**FACTORS)
        acting = draw(alone)
        alone.use_engine({"unet": "channels_last"})
        assert np.array_equal(draw(alone), acting)
        assert "attachments change it" in caplog.text

    @pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
    def test_copies_have_it(self, pipe: Any, draw: Draw, way: Callable[[Any], Any]) -> None:
        pipe.enable_freeu(**FACTORS)
        assert np.array_equal(draw(way(pipe)), draw(pipe))

    def test_with_a_controlnet_and_sdxl(self, build: Callable[..., Any], draw: Draw) -> None:
        for name in ("StableDiffusionControlNetPipeline", "StableDiffusionXLInpaintPipeline"):
            other = build(getattr(autopipe, name))
            plain = draw(other)
            other.enable_freeu(**FACTORS)
            assert abs(draw(other) - plain).max() > 1e-3


class TestUNet:
    def test_it_acts_wherever_the_network_is_used(
        self, unet: UNet2DConditionModel, given: Any
    ) -> None:
        plain = unet(*given).sample
        unet.enable_freeu(**FACTORS)
        unet.enable_freeu(**FACTORS)  # Not twice.
        acting = unet(*given).sample
        assert not torch.equal(acting, plain)
        for way in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
            assert torch.equal(way(unet)(*given).sample, acting)
        unet.disable_freeu()
        assert torch.equal(unet(*given).sample, plain)

    def test_it_is_the_same_as_on_a_pipeline(
        self, pipe: Any, unet: UNet2DConditionModel, draw: Draw
    ) -> None:
        pipe.unet = unet
        pipe.enable_freeu(**FACTORS)
        expected = draw(pipe)
        pipe.disable_freeu()
        unet.enable_freeu(**FACTORS)
        assert np.array_equal(draw(pipe), expected)

    def test_engines_leave_it_to_eager_mode(
        self, pipe: Any, draw: Draw, caplog: pytest.LogCaptureFixture
    ) -> None:
        alone = copy.deepcopy(pipe)
        alone.unet.enable_freeu(**FACTORS)
        acting = draw(alone)
        alone.use_engine({"unet": "channels_last"})
        assert np.array_equal(draw(alone), acting)
        assert "it has hooks" in caplog.text


@pytest.mark.parametrize(
    ("factors", "error"),
    [
        ({"s1": 0}, ArgumentError),
        ({"b2": -1}, ArgumentError),
        ({"s2": float("nan")}, ArgumentError),
        ({"b1": "1"}, ArgumentTypeError),
    ],
    ids=str,
)
def test_what_can_not_be_used_is_refused(
    pipe: Any, unet: Any, factors: dict[str, Any], error: type[Exception]
) -> None:
    for one in (pipe, unet):
        with pytest.raises(error, match=next(iter(factors))):
            one.enable_freeu(**{**FACTORS, **factors})
    with pytest.raises(error):
        FreeU(**factors)
    assert dict(pipe.attachments) == {}
    assert not any(one._forward_pre_hooks for one in unet.modules())


@pytest.mark.parametrize("value", [{"s1": 1}, (1, 2), "much", None], ids=str)
def test_other_strengths_are_refused(pipe: Any, value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="the four factors s1, s2, b1, b2"):
        pipe.attach("freeu", strength=value)


def test_other_networks_are_refused(build: Callable[..., Any], networks: Any) -> None:
    vae = networks(AutoencoderKL)
    with pytest.raises(ArgumentError, match="AutoencoderKL isn't a UNet2DConditionModel"):
        vae.enable_freeu(**FACTORS)
    pipe: Any = SimpleNamespace(components={"vae": vae})
    with pytest.raises(ArgumentError, match="FreeU needs a U-Net"):
        FreeU().check(pipe)
