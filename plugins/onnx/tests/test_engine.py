"""The engine gives what torch gives, from one conversion that is cached without weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from support import tiny
from torch import Tensor, nn

from autopipe import UNet2DConditionModel
from autopipe.attaching.engine import EngineRefusal
from autopipe_components.engines.topologies import Topologies
from autopipe_onnx.engine import OnnxRuntime

from .conftest import extractor, safety_checker


@pytest.fixture
def engine(tmp_path: Path) -> OnnxRuntime:
    return made(tmp_path)


def made(folder: Path) -> OnnxRuntime:
    found = OnnxRuntime()
    found.topologies = Topologies(folder)
    return found


@pytest.fixture
def unet() -> Any:
    return tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1)


def arguments(batch: int, height: int, width: int, tokens: int, seed: int = 0) -> tuple[Any, ...]:
    source = torch.Generator().manual_seed(seed)
    sample = torch.randn(batch, 4, height, width, generator=source)
    return sample, torch.tensor(500), torch.randn(batch, tokens, 16, generator=source)


def apart(network: Any, run: Any, given: tuple[Any, ...]) -> float:
    """The largest difference, relative to the largest value."""
    with torch.no_grad():
        expected = network(*given, return_dict=False)[0]
        (found,) = run(*given, return_dict=False)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def test_one_conversion_serves_every_size_and_batch(
    engine: OnnxRuntime, unet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversions, convert = [], engine.convert
    monkeypatch.setattr(engine, "convert", lambda *a: conversions.append(a) or convert(*a))
    run = engine.prepare(unet, "forward")
    for batch, height, width, tokens in (
        (1, 8, 8, 12),
        (2, 16, 8, 12),
        (3, 6, 10, 5),
        (1, 7, 5, 1),
    ):
        assert apart(unet, run, arguments(batch, height, width, tokens)) < engine.tolerance
    assert len(conversions) == 1


def test_the_next_process_converts_nothing(
    engine: OnnxRuntime, unet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments(2, 8, 8, 12)
    (expected,) = engine.prepare(unet, "forward")(*given, return_dict=False)
    second = made(tmp_path)
    monkeypatch.setattr(second, "convert", lambda *a: pytest.fail("it was converted again"))
    assert torch.equal(second.prepare(unet, "forward")(*given, return_dict=False)[0], expected)


def test_the_cached_graph_has_no_weights_and_serves_others(
    engine: OnnxRuntime, unet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.prepare(unet, "forward")(*arguments(2, 8, 8, 12), return_dict=False)
    (file,) = tmp_path.glob("*/topology.onnx")
    model = onnx.load_model(file, load_external_data=False)
    names = {one.name for one in model.graph.initializer}
    assert names == set(unet.state_dict())
    assert not any(one.raw_data for one in model.graph.initializer)
    other = tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=9)
    monkeypatch.setattr(engine, "convert", lambda *a: pytest.fail("it was converted again"))
    run = engine.prepare(other, "forward")
    assert apart(other, run, arguments(2, 8, 8, 12)) < engine.tolerance


def test_flags_are_left_to_eager_mode(
    build: Any, inputs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    checked = {"safety_checker": safety_checker(-2.0), "feature_extractor": extractor()}
    pipe = build(**checked).use_engine({"safety_checker": "onnx"})
    output = pipe(**{**inputs[""], "num_images_per_prompt": 2})
    assert output.nsfw_content_detected == [True, True]
    assert "onnx doesn't run safety_checker" in caplog.text


class Strange(nn.Module):
    """A network with an operation that ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def test_an_operation_that_onnx_lacks_is_refused(engine: OnnxRuntime) -> None:
    with pytest.raises(EngineRefusal, match="bessel_j0"):
        engine.prepare(Strange(), "forward")(torch.ones(2, 3))


def test_half_precision_is_refused(engine: OnnxRuntime, unet: Any) -> None:
    with pytest.raises(EngineRefusal, match="float16"):
        engine.prepare(unet.half(), "forward")
