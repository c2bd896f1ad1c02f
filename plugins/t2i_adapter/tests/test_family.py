"""The condition and the pipeline classes: rows of the table, components, sizes and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autopipe
from autopipe import AutoPipelineForText2Image, MultiAdapter, T2IAdapter
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError

from .conftest import LIGHT, needs, picture

pytestmark = needs("stable_diffusion")


def test_the_keyword_selects_the_row(build: Callable[..., Any], nets: Any) -> None:
    plain = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion", unet=None)
    whole = AutoPipelineForText2Image.from_pipe(plain, adapter=nets())
    assert type(whole) is autopipe.StableDiffusionAdapterPipeline
    assert whole.adapter is nets()
    back = AutoPipelineForText2Image.from_pipe(whole, adapter=None)
    assert type(back) is autopipe.StableDiffusionPipeline
    assert not back.attachments


def test_a_list_becomes_a_multiadapter(build: Callable[..., Any], nets: Any) -> None:
    both = [nets(), nets(seed=3)]
    pipe = build(autopipe.StableDiffusionAdapterPipeline, adapter=both)
    assert isinstance(pipe.adapter, MultiAdapter)
    assert pipe.adapter.parts == both
    assert pipe.adapter.downscale_factor == 2
    assert pipe.adapter.total_downscale_factor == 8
    with pytest.raises(ArgumentError, match="two adapters or more"):
        MultiAdapter([nets()])


def test_the_size_is_that_of_the_picture(
    build: Callable[..., Any], prompt: Callable[..., dict[str, Any]]
) -> None:
    kind = autopipe.StableDiffusionAdapterPipeline
    pipe = build(kind)
    given = {"num_inference_steps": 1, "output_type": "np", **prompt(kind)}
    assert pipe(image=picture(1, 25, 33), **given, height=16).images.shape == (1, 16, 24, 3)
    assert pipe(image=[[picture(1, 24, 32)]][0], **given).images.shape == (1, 32, 24, 3)
    with pytest.raises(ArgumentError, match="divisible by 8"):
        pipe(image=picture(1, 26, 32), **given)
    with pytest.raises(ArgumentError, match="at least 2"):
        pipe(image=picture(1, 1, 32), **given)
    with pytest.raises(ArgumentError, match="both image and adapter_image"):
        pipe(image=picture(1), adapter_image=picture(1), **given)
    with pytest.raises(ArgumentTypeError, match="adapter_image is missing"):
        pipe(**given)


@pytest.mark.parametrize("count", [1, 3])
def test_files(build: Callable[..., Any], nets: Any, tmp_path: Path, count: int) -> None:
    parts = [nets(seed=n) for n in range(count)]
    adapter = parts[0] if count == 1 else MultiAdapter(parts)
    pipe = build(autopipe.StableDiffusionAdapterPipeline, adapter=adapter)
    pipe.save_pretrained(tmp_path)
    names = sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("adapter"))
    assert names == ["adapter", "adapter_1", "adapter_2"][:count]
    back = MultiAdapter.from_pretrained(tmp_path / "adapter") if count > 1 else T2IAdapter
    if count == 1:
        back = T2IAdapter.from_pretrained(tmp_path / "adapter")
    state = adapter.state_dict()
    assert all((state[name] == one).all() for name, one in back.state_dict().items())
    # With one adapter less, what remains of the others is not read.
    if count == 3:
        less = build(
            autopipe.StableDiffusionAdapterPipeline, adapter=MultiAdapter(adapter.parts[:2])
        )
        less.save_pretrained(tmp_path)
        assert len(MultiAdapter.from_pretrained(tmp_path / "adapter").parts) == 2


def test_a_save_does_not_warn_of_the_own_adapter(
    build: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(autopipe.StableDiffusionAdapterPipeline).save_pretrained(tmp_path)
    assert "not part of its checkpoint" not in caplog.text


def test_configs_that_are_not_supported() -> None:
    with pytest.raises(ConfigError, match="full_adapter_xl"):
        T2IAdapter(adapter_type="huge")
    with pytest.raises(ConfigError, match="channels is empty"):
        T2IAdapter(channels=())


def test_light_adapters_have_a_block_more(nets: Any) -> None:
    light = nets(**LIGHT)
    assert (light.widths, light.strides) == ([16, 32, 32], [2, 4, 8])
