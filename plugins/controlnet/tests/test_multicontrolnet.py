"""Several networks: their sum, and the folders they are saved in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe
from autopipe import ControlNetModel, MultiControlNetModel
from autopipe.errors import ArgumentError, CheckpointError

from .conftest import needs
from .test_controlnet import inputs

Make = Callable[..., ControlNetModel]


@pytest.fixture
def three(controlnets: Make) -> MultiControlNetModel:
    return MultiControlNetModel([controlnets(seed=n) for n in (2, 3, 4)])


def pictures(count: int) -> list[torch.Tensor]:
    return [inputs(seed=10 + n)["controlnet_cond"] for n in range(count)]


def test_what_they_add_is_summed(three: MultiControlNetModel) -> None:
    given, scales = inputs(), [0.5, 1.0, 2.0]
    expected = sum(
        net(**{**given, "controlnet_cond": picture}, conditioning_scale=scale)[1]
        for net, picture, scale in zip(three.parts, pictures(3), scales)
    )
    given["controlnet_cond"] = pictures(3)
    found = three(**given, conditioning_scale=scales)
    assert torch.equal(found.mid_block_res_sample, expected)
    down, mid = three(**given, conditioning_scale=scales, return_dict=False)
    assert torch.equal(mid, expected)
    assert len(down) == len(found.down_block_res_samples) == 4


def test_networks_without_strength_are_not_run(
    three: MultiControlNetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**inputs(), "controlnet_cond": pictures(3)}
    alone = three.parts[1](**{**given, "controlnet_cond": pictures(3)[1]})[1]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a network of scale 0 was run")

    monkeypatch.setattr(three.parts[0], "forward", fail)
    monkeypatch.setattr(three.parts[2], "forward", fail)
    assert torch.equal(three(**given, conditioning_scale=[0.0, 1.0, 0.0])[1], alone)


@pytest.mark.parametrize("scales", [[1.0], [1.0, 1.0, 1.0, 1.0]])
def test_one_picture_and_scale_for_each(three: MultiControlNetModel, scales: list[float]) -> None:
    given = {**inputs(), "controlnet_cond": pictures(3)}
    with pytest.raises(ArgumentError, match="3 ControlNets"):
        three(**given, conditioning_scale=scales)


def test_at_least_one_and_nothing_else(unets: Any, controlnets: Make) -> None:
    with pytest.raises(ArgumentError, match="ControlNetModel"):
        MultiControlNetModel([])
    with pytest.raises(ArgumentError, match="UNet2DConditionModel"):
        MultiControlNetModel([controlnets(), unets()])


def test_folders_side_by_side(three: MultiControlNetModel, tmp_path: Path) -> None:
    three.save_pretrained(tmp_path / "net")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net", "net_1", "net_2"]
    back = MultiControlNetModel.from_pretrained(tmp_path / "net", torch_dtype=torch.float16)
    assert len(back.parts) == 3
    assert back.dtype == torch.float16
    expected = three.parts[2].conv_in.weight
    assert torch.equal(back.parts[2].conv_in.weight, expected.half())
    with pytest.raises(CheckpointError):
        MultiControlNetModel.from_pretrained(tmp_path / "absent")


@needs("stable_diffusion")
def test_checkpoints(whole: Any, controlnets: Make, tmp_path: Path) -> None:
    kind = autopipe.StableDiffusionControlNetPipeline
    nets = [controlnets(seed=n) for n in (2, 3, 4)]
    absent = {"text_encoder": None, "tokenizer": None}
    pipe = whole(kind, controlnet=nets, **absent)
    assert isinstance(pipe.controlnet, MultiControlNetModel)
    assert pipe.config["controlnet"] == ("diffusers", "MultiControlNetModel")
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "controlnet_2" / "config.json").is_file()

    back = kind.from_pretrained(tmp_path, **absent)
    assert [type(net) for net in back.controlnet.parts] == [ControlNetModel] * 3
    for ours, theirs in zip(pipe.controlnet.parts, back.controlnet.parts):
        assert torch.equal(ours.conv_in.weight, theirs.conv_in.weight)

    # Saved again with fewer: the third must not come back.
    whole(kind, controlnet=nets[:2], **absent).save_pretrained(tmp_path)
    assert len(kind.from_pretrained(tmp_path, **absent).controlnet.parts) == 2
    # And with one alone, which the index says.
    whole(kind, controlnet=nets[0], **absent).save_pretrained(tmp_path)
    assert type(kind.from_pretrained(tmp_path, **absent).controlnet) is ControlNetModel
