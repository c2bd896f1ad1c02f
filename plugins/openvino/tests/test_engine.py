"""OpenVINO gives what torch gives, for any size, from one conversion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny
from torch import Tensor, nn

from autopipe import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from autopipe.attaching.engine import EngineRefusal
from autopipe.errors import ArgumentError
from autopipe_components.engines.topologies import Topologies
from autopipe_openvino.engine import OpenVINO
from autopipe_openvino.runtime import has_bf16


@pytest.fixture
def engine(tmp_path: Path) -> OpenVINO:
    return made(tmp_path)


def made(folder: Path, **options: Any) -> OpenVINO:
    found = OpenVINO(**options)
    found.topologies = Topologies(folder)
    return found


@pytest.fixture
def unet() -> Any:
    return tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1)


def arguments(batch: int, height: int, width: int, tokens: int = 7) -> tuple[Any, ...]:
    source = torch.Generator().manual_seed(height * width)
    sample = torch.randn(batch, 4, height, width, generator=source)
    return sample, torch.tensor(500), torch.randn(batch, tokens, 16, generator=source)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


# The smallest sizes first: what is packed for a size of 1 must not be used for others.
SIZES = [(1, 2, 2), (2, 8, 8), (1, 16, 12), (3, 9, 7), (2, 8, 8), (1, 1, 5)]


def test_one_conversion_serves_every_size_and_batch(engine: OpenVINO, unet: Any) -> None:
    run = engine.prepare(unet, "forward")
    with torch.no_grad():
        for size in SIZES:
            given = arguments(*size, tokens=size[1] + 3)
            close(run(*given).sample, unet(*given).sample)
    assert len(engine.topologies.entries()) == 1


def test_a_controlnet_gives_its_residuals_and_the_u_net_takes_them(engine: OpenVINO) -> None:
    unet = tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1)
    controlnet = tiny.seeded(lambda: ControlNetModel.from_unet(unet), seed=2)
    for one in controlnet.parameters():
        torch.nn.init.normal_(one.data, std=0.1)
    guide, draw = engine.prepare(controlnet, "forward"), engine.prepare(unet, "forward")
    with torch.no_grad():
        for size in ((2, 8, 8), (1, 4, 12)):
            sample, time, states = arguments(*size)
            pixels = 2 ** (len(controlnet.config.conditioning_embedding_out_channels) - 1)
            hint = torch.rand(size[0], 3, pixels * size[1], pixels * size[2])
            call = (sample, time, states)
            found = guide(*call, controlnet_cond=hint)
            expected = controlnet(*call, controlnet_cond=hint)
            assert type(found) is type(expected)
            close(found.mid_block_res_sample, expected.mid_block_res_sample)
            for a, b in zip(
                found.down_block_res_samples, expected.down_block_res_samples, strict=True
            ):
                close(a, b)
            residuals = {
                "down_block_additional_residuals": expected.down_block_res_samples,
                "mid_block_additional_residual": expected.mid_block_res_sample,
            }
            close(draw(*call, **residuals).sample, unet(*call, **residuals).sample)


def test_an_autoencoder_encodes_to_a_distribution_and_decodes(engine: OpenVINO) -> None:
    vae = tiny.seeded(lambda: AutoencoderKL(**tiny.VAE), seed=3)
    images = torch.rand(2, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        found = engine.prepare(vae, "encode")(images).latent_dist
        expected = vae.encode(images).latent_dist
        close(found.mean, expected.mean)
        close(found.std, expected.std)
        latents = expected.mode()
        close(engine.prepare(vae, "decode")(latents).sample, vae.decode(latents).sample)


def test_the_next_process_reads_what_was_cached(
    tmp_path: Path, unet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments(1, 8, 8)
    with torch.no_grad():
        first = made(tmp_path).prepare(unet, "forward")(*given).sample

        def fail(*_: object) -> None:
            raise AssertionError("it is converted again")

        monkeypatch.setattr(OpenVINO, "convert", fail)
        again = made(tmp_path).prepare(unet, "forward")(*given).sample
        other = tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=5)
        changed = made(tmp_path).prepare(other, "forward")(*given).sample
        assert torch.equal(first, again)
        close(changed, other(*given).sample)
    (entry,) = made(tmp_path).topologies.entries()
    weights = sum(one.nbytes for one in unet.parameters())
    assert (entry.folder / "topology.bin").stat().st_size < weights / 10


def test_threads_give_bitwise_what_one_gives(engine: OpenVINO, unet: Any) -> None:
    run = engine.prepare(unet, "forward")
    calls = [arguments(1 + i % 2, 8 + i % 3, 8) for i in range(12)]

    def draw(given: tuple[Any, ...]) -> Tensor:
        with torch.no_grad():
            return run(*given).sample  # type: ignore[no-any-return]

    serial = [draw(one) for one in calls]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(draw, calls), serial):
            assert torch.equal(found, expected)


def test_it_refuses_what_it_cannot_run(engine: OpenVINO, unet: Any) -> None:
    with pytest.raises(EngineRefusal, match=r"float16.*float32"):
        engine.prepare(nn.Linear(2, 2).half(), "forward")
    vae = AutoencoderKL(**tiny.VAE)
    vae.enable_tiling()
    with pytest.raises(EngineRefusal, match="use_tiling"):
        engine.prepare(vae, "decode")
    sample, time, states = arguments(1, 8, 8)
    with torch.no_grad(), pytest.raises(EngineRefusal, match="bfloat16"):
        engine.prepare(unet, "forward")(sample.bfloat16(), time, states)


def test_it_refuses_weights_that_do_not_fit_memory(
    engine: OpenVINO, unet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe_components.engines.converted.available_memory", lambda: 1000)
    with torch.no_grad(), pytest.raises(EngineRefusal, match=r"1 KB of memory is free"):
        engine.prepare(unet, "forward")(*arguments(1, 8, 8))


def test_precisions_are_checked() -> None:
    with pytest.raises(ArgumentError, match=r"'bf61'.*Did you mean 'bf16'"):
        OpenVINO(precision="bf61")
    if not has_bf16():
        with pytest.raises(ArgumentError, match="doesn't compute in bf16"):
            OpenVINO(precision="bf16")


@pytest.mark.skipif(not has_bf16(), reason="this processor doesn't compute in bf16")
def test_bf16_stays_within_its_tolerance(tmp_path: Path, unet: Any) -> None:
    engine = made(tmp_path, precision="bf16")
    run = engine.prepare(unet, "forward")
    given = arguments(2, 16, 16)
    with torch.no_grad():
        close(run(*given).sample, unet(*given).sample, engine.tolerance)
