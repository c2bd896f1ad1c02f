"""The calls of the reference: loading, switching, fusing and saving."""

from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import autopipe
from autopipe import DiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError, CheckpointError, WeightsMismatchError

from .conftest import draw

Made = Callable[..., dict[str, Tensor]]


def test_a_new_one_is_alone_in_the_networks_that_it_changes(pipe: Any, lora: Made) -> None:
    pipe.load_lora_weights(lora())
    pipe.load_lora_weights(lora(1, components=("unet",)), adapter_name="oil")
    assert dict(pipe.attachments) == {"default_0": {"unet": 0.0, "text_encoder": 1.0}, "oil": 1.0}
    drawn = draw(pipe)
    assert np.array_equal(draw(pipe, adapters={"oil": 1, "default_0": {"unet": 0}}), drawn)
    pipe.load_lora_weights(lora(2))
    assert pipe.get_active_adapters() == ["default_2"]
    assert pipe.get_list_adapters() == {
        "text_encoder": ["default_0", "default_2"],
        "unet": ["default_0", "oil", "default_2"],
    }


def test_names_in_use_are_refused_and_free_ones_found(pipe: Any, lora: Made) -> None:
    pipe.load_lora_weights(lora(), adapter_name="default_1")
    drawn = draw(pipe)
    for name in ("default_1", 3):
        with pytest.raises(ArgumentError):
            pipe.load_lora_weights(lora(1), adapter_name=name)
    with pytest.raises(ArgumentError, match="default_1"):
        pipe.load_lora_weights(lora(1), adapter_name="ink", hotswap=True)
    assert np.array_equal(draw(pipe), drawn)
    pipe.load_lora_weights(lora(1))
    assert pipe.get_active_adapters() == ["default_2"]


def test_one_takes_the_place_of_another(pipe: Any, lora: Made) -> None:
    pipe.load_lora_weights(lora(1), adapter_name="ink")
    pipe.load_lora_weights(lora(), adapter_name="oil")
    pipe.set_adapters(["ink", "oil"], [0.5, 0.2])
    pipe.load_lora_weights(lora(2), adapter_name="oil", hotswap=True)
    assert dict(pipe.attachments) == {"ink": 0.5, "oil": 0.2}
    drawn = draw(pipe)
    pipe.unload_lora_weights()
    pipe.attach("lora", lora(1), name="ink", strength=0.5)
    pipe.attach("lora", lora(2), name="oil", strength=0.2)
    assert np.array_equal(draw(pipe), drawn)


def test_one_that_can_not_take_the_place_changes_nothing(
    pipe: Any, lora: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.load_lora_weights(lora(1), adapter_name="ink")
    pipe.set_adapters("ink", 0.5)
    drawn, attach = draw(pipe), type(pipe).attach

    def full(self: Any, *args: Any, **options: Any) -> Any:
        monkeypatch.setattr(type(pipe), "attach", attach)
        raise MemoryError

    monkeypatch.setattr(type(pipe), "attach", full)
    with pytest.raises(MemoryError):
        pipe.load_lora_weights(lora(2), adapter_name="ink", hotswap=True)
    assert dict(pipe.attachments) == {"ink": 0.5}
    assert np.array_equal(draw(pipe), drawn)


def test_files_folders_and_pickles(pipe: Any, lora: Made, tmp_path: Path) -> None:
    pipe.load_lora_weights(lora())
    drawn = draw(pipe)
    pipe.unload_lora_weights()
    (tmp_path / "inside").mkdir()
    save_file(lora(), tmp_path / "inside" / "zebra.safetensors")
    save_file(lora(1), tmp_path / "other.safetensors")
    torch.save(lora(), tmp_path / "pickled.bin")
    for given in (
        {"pretrained_model_name_or_path_or_dict": tmp_path / "inside"},
        {"pretrained_model_name_or_path_or_dict": str(tmp_path / "inside" / "zebra.safetensors")},
        {"pretrained_model_name_or_path_or_dict": tmp_path, "subfolder": "inside"},
        {
            "pretrained_model_name_or_path_or_dict": tmp_path,
            "weight_name": "pickled.bin",
            "low_cpu_mem_usage": False,
        },
    ):
        pipe.load_lora_weights(**given)
        assert np.array_equal(draw(pipe), drawn)
        pipe.unload_lora_weights()
    with pytest.raises(CheckpointError, match="absent"):
        pipe.load_lora_weights(tmp_path, weight_name="absent.safetensors")
    with pytest.raises(CheckpointError):
        pipe.load_lora_weights(tmp_path / "nowhere")
    with pytest.raises(ArgumentTypeError):
        pipe.load_lora_weights(3)
    assert dict(pipe.attachments) == {}


def test_a_failed_load_changes_nothing(pipe: Any, lora: Made) -> None:
    pipe.load_lora_weights(lora(), adapter_name="ink")
    drawn = draw(pipe)
    wrong = {key: one[..., :-1] if "_A" in key else one for key, one in lora().items()}
    for state in (wrong, {}, {"unet.x.lora_A.weight": torch.ones(1, 1)}):
        with pytest.raises(WeightsMismatchError):
            pipe.load_lora_weights(state)
    assert dict(pipe.attachments) == {"ink": 1.0}
    assert np.array_equal(draw(pipe), drawn)


def test_keys_without_effect_are_logged_once(
    pipe: Any, lora: Made, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"unet.nowhere.to_q.lora_A.weight": torch.ones(2, 4)}
    odd |= {"unet.nowhere.to_q.lora_B.weight": torch.ones(4, 2)}
    with caplog.at_level(logging.WARNING):
        pipe.load_lora_weights({**lora(), **odd})
        draw(pipe)
    told = [one.message for one in caplog.records if "keys" in one.message]
    assert len(told) == 1
    assert "2 keys" in told[0]
    assert "unet.nowhere.to_q.lora_A.weight" in told[0]


def test_disabled_ones_keep_their_weights(pipe: Any, lora: Made) -> None:
    plain = draw(pipe)
    pipe.load_lora_weights(lora(), adapter_name="ink")
    pipe.set_adapters("ink", 0.6)
    drawn = draw(pipe)
    pipe.disable_lora()
    pipe.disable_lora()
    assert pipe.get_active_adapters() == ["ink"]
    assert np.array_equal(draw(pipe), plain)
    assert np.array_equal(draw(pipe, adapters={"ink": 0.6}), drawn)
    again = pickle.loads(pickle.dumps(copy.deepcopy(pipe)))
    assert np.array_equal(draw(again), plain)
    for one in (again, pipe, type(pipe).from_pipe(pipe)):
        one.set_progress_bar_config(disable=True)
        one.enable_lora()
        assert np.array_equal(draw(one), drawn)


def test_other_attachments_keep_their_strengths(pipe: Any, lora: Made) -> None:
    from autopipe import Attachment

    class Other(Attachment):
        name = "other"

    pipe.attach(Other(), strength=0.25)
    pipe.load_lora_weights(lora(), adapter_name="ink")
    pipe.disable_lora()
    pipe.enable_lora()
    pipe.set_adapters("ink", 0.5)
    assert dict(pipe.attachments) == {"other": 0.25, "ink": 0.5}
    pipe.unload_lora_weights()
    pipe.unload_lora_weights()
    assert dict(pipe.attachments) == {"other": 0.25}


def test_weights_for_what_isnt_there_are_logged(
    pipe: Any, lora: Made, caplog: pytest.LogCaptureFixture
) -> None:
    pipe.load_lora_weights(lora(components=("unet",)), adapter_name="ink")
    with caplog.at_level(logging.WARNING):
        pipe.set_adapters("ink", {"unet": 0.5, "text_encoder": 0.5, "text_encoder_2": 0.5})
    assert len([one for one in caplog.records if "is ignored" in one.message]) == 2
    drawn = draw(pipe)
    pipe.set_adapters("ink", 0.5)
    assert np.array_equal(draw(pipe), drawn)


def test_devices_and_the_scale(pipe: Any, lora: Made) -> None:
    pipe.load_lora_weights(lora(), adapter_name="ink")
    pipe.set_lora_device(["ink"], "cpu")
    pipe.enable_lora_hotswap(target_rank=8)
    assert pipe.lora_scale == 1.0
    seen = []

    def look(run: Any, step: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        seen.append(run.lora_scale)
        return {}

    draw(pipe, callback_on_step_end=look, cross_attention_kwargs={"scale": 0.25})
    assert seen == [0.25, 0.25]
    with pytest.raises(ArgumentError, match="oil"):
        pipe.set_lora_device(["oil"], "cpu")


# Fusing


def test_fusing_is_of_one_pipeline(pipe: Any, lora: Made) -> None:
    plain = draw(pipe)
    shared = pipe.components["unet"]
    view = type(pipe).from_pipe(pipe)
    view.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(lora(), adapter_name="ink")
    acting = draw(pipe)
    pipe.fuse_lora()
    # The products are added to weights, not to outputs.
    assert np.abs(draw(pipe) - acting).max() < 1e-4
    assert np.array_equal(draw(view), plain)
    assert view.num_fused_loras == 0
    assert pipe.fused_loras == {"ink"}
    pipe.fuse_lora()
    assert pipe.num_fused_loras == 1
    ours, base = pipe.unet.state_dict(keep_vars=True), shared.state_dict(keep_vars=True)
    assert ours.keys() == base.keys()
    changed = {name for name, one in ours.items() if one is not base[name]}
    assert changed == {
        key.removeprefix("unet.").replace("lora_A.", "")
        for key in lora(components=("unet",))
        if "lora_A" in key
    }
    pipe.unfuse_lora(components=["unet"])
    assert pipe.components["unet"] is shared
    assert np.abs(draw(pipe) - acting).max() < 1e-4
    pipe.unfuse_lora()
    assert np.array_equal(draw(pipe), acting)


def test_fused_ones_and_others_together(pipe: Any, lora: Made) -> None:
    for number, name in enumerate(("ink", "oil")):
        pipe.load_lora_weights(lora(number, dora=True), adapter_name=name)
    pipe.set_adapters(["ink", "oil"], [0.5, 0.25])
    both = draw(pipe)
    pipe.fuse_lora(adapter_names=["ink"])
    assert pipe.fused_loras == {"ink"}
    assert not np.array_equal(draw(pipe, adapters={}), draw(pipe))
    pipe.fuse_lora()
    assert pipe.fused_loras == {"ink", "oil"}
    fused = draw(pipe)
    assert np.array_equal(draw(pipe, adapters={}), fused)
    again = pickle.loads(pickle.dumps(pipe))
    assert np.array_equal(draw(again), fused)
    for one in (again, pipe):
        one.unfuse_lora()
        assert np.array_equal(draw(one), both)


def test_after_unloading_the_weights_stay_and_the_shared_ones_go(
    pipe: Any, lora: Made, tmp_path: Path
) -> None:
    pipe.load_lora_weights(lora(), adapter_name="ink")
    shared = weakref.ref(pipe.components["unet"])
    pipe.fuse_lora(lora_scale=0.5, components=["unet"])
    pipe.set_adapters("ink", {"text_encoder": 0.0})
    drawn = draw(pipe)
    pipe.unload_lora_weights()
    pipe.unfuse_lora()
    gc.collect()
    assert shared() is None
    assert np.array_equal(draw(pipe), drawn)
    assert pipe.fused_loras == {"ink"}
    assert dict(pipe.attachments) == {}
    pipe.save_pretrained(tmp_path)
    again = DiffusionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert np.array_equal(draw(again), drawn)


def test_weights_that_arent_finite_are_refused(pipe: Any, lora: Made) -> None:
    state = lora(components=("unet",))
    next(iter(state.values()))[0] = float("inf")
    pipe.attach("lora", state)
    with pytest.raises(ArgumentError, match="not finite"):
        pipe.fuse_lora(safe_fusing=True)
    assert pipe.num_fused_loras == 0


# Saving


def test_saved_files_load_again(pipe: Any, lora: Made, tmp_path: Path) -> None:
    state = lora()
    pipe.load_lora_weights(state)
    drawn = draw(pipe)
    pipe.unload_lora_weights()
    own = {
        name: {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
        for name in ("unet", "text_encoder")
    }
    kind = autopipe.StableDiffusionPipeline
    kind.save_lora_weights(
        tmp_path,
        unet_lora_layers=own["unet"],
        text_encoder_lora_layers=own["text_encoder"],
        unet_lora_adapter_metadata={"r": 4, "lora_alpha": 2, "target_modules": {"to_q", "to_k"}},
    )
    with safe_open(tmp_path / "pytorch_lora_weights.safetensors", "pt") as file:
        told = json.loads(file.metadata()["lora_adapter_metadata"])
    assert told["unet.target_modules"] == ["to_k", "to_q"]
    pipe.load_lora_weights(tmp_path)
    assert not np.array_equal(draw(pipe), drawn)
    pipe.set_adapters("default_0", {"unet": 2.0})
    # An alpha of half the rank is undone by a weight of 2.
    assert np.array_equal(draw(pipe), drawn)
    pipe.unload_lora_weights()
    kind.save_lora_weights(tmp_path, **{f"{n}_lora_layers": one for n, one in own.items()})
    pipe.load_lora_weights(tmp_path)
    assert np.array_equal(draw(pipe), drawn)
    tensors, alphas = kind.lora_state_dict(tmp_path)
    assert tensors.keys() == state.keys()
    assert alphas is None


def test_other_ways_of_saving(tmp_path: Path) -> None:
    save = autopipe.StableDiffusionPipeline.save_lora_weights
    layers = nn.ModuleDict({"to_q": nn.Linear(2, 2)})
    save(tmp_path, layers, safe_serialization=False, weight_name="a.bin")
    assert torch.load(tmp_path / "a.bin").keys() == {"unet.to_q.weight", "unet.to_q.bias"}
    save(tmp_path / "none", layers, is_main_process=False)
    assert not (tmp_path / "none").exists()
    written: dict[str, Any] = {}
    save(tmp_path, layers, save_function=lambda state, file: written.update(state, file=file))
    assert written.keys() == {"unet.to_q.weight", "unet.to_q.bias", "file"}
    file = tmp_path / "file"
    file.write_text("")
    for wrong in (
        {"save_directory": file, "unet_lora_layers": layers},
        {"save_directory": tmp_path},
        {"save_directory": tmp_path, "unet_lora_layers": [1]},
        {"save_directory": tmp_path, "unet_lora_layers": {"a": 1}},
        {"save_directory": tmp_path, "unet_lora_layers": layers, "weight_name": "../a"},
        {"save_directory": tmp_path, "unet_lora_layers": layers, "colour": 1},
    ):
        with pytest.raises(ArgumentError):
            save(**wrong)


def test_both_text_encoders_of_xl(pipe_xl: Any) -> None:
    from support.loras import random_lora

    names = ("unet", "text_encoder", "text_encoder_2")
    plain = draw(pipe_xl)
    state = random_lora({name: pipe_xl.components[name] for name in names})
    pipe_xl.load_lora_weights(state, adapter_name="ink")
    drawn = [draw(pipe_xl)]
    for name in names:
        pipe_xl.set_adapters("ink", {name: 0.0})
        drawn.append(draw(pipe_xl))
    assert len({one.tobytes() for one in (plain, *drawn)}) == 5
    pipe_xl.set_adapters("ink", 1.0)
    pipe_xl.fuse_lora()
    assert np.abs(draw(pipe_xl) - drawn[0]).max() < 1e-4
