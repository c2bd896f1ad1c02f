"""What a pipeline's methods are given: each value works, or is refused by name and in time."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.odd import ODD
from support.relay import RelayPipeline, relay

from autopipe.attaching.attachment import Attachment
from autopipe.auto import AutoPipelineForText2Image
from autopipe.errors import ArgumentError, ArgumentTypeError, AutopipeError

Act = Callable[[RelayPipeline, Any], object]


def bar(pipe: RelayPipeline, **settings: Any) -> None:
    pipe.set_progress_bar_config(**settings)
    list(pipe.progress_bar(range(2)))


ACTS: dict[str, tuple[str, Act]] = {
    "to": (r"to\(\)|device", lambda p, v: p.to(v)),
    "to second": (r"to\(\)|device", lambda p, v: p.to("cpu", v)),
    "to device": ("device", lambda p, v: p.to(device=v)),
    "to torch_device": ("device", lambda p, v: p.to(torch_device=v)),
    "to dtype": ("dtype", lambda p, v: p.to(dtype=v)),
    "to torch_dtype": ("dtype", lambda p, v: p.to(torch_dtype=v)),
    "to unknown": ("nonsense", lambda p, v: p.to(nonsense=v)),
    "model gpu_id": ("gpu_id", lambda p, v: p.enable_model_cpu_offload(v, device="cpu")),
    "model device": ("device|accelerator", lambda p, v: p.enable_model_cpu_offload(device=v)),
    "sequential gpu_id": ("gpu_id", lambda p, v: p.enable_sequential_cpu_offload(v, device="cpu")),
    "sequential device": (
        "device|accelerator",
        lambda p, v: p.enable_sequential_cpu_offload(device=v),
    ),
    "fit budget": ("memory", lambda p, v: p.fit_memory(v)),
    "fit device": ("device", lambda p, v: p.fit_memory(device=v)),
    "fit folder": (
        "offload_folder",
        lambda p, v: p.fit_memory(10, device="cpu", offload_folder=v),
    ),
    "map": ("device_map", lambda p, v: p.set_device_map(v)),
    "map place": ("device_map", lambda p, v: p.set_device_map({"painter": v, "": "cpu"})),
    "map max_memory": ("max_memory", lambda p, v: p.set_device_map("auto", max_memory=v)),
    "map limit": ("max_memory", lambda p, v: p.set_device_map("auto", max_memory={"cpu": v})),
    "map folder": (
        "offload_folder",
        lambda p, v: p.set_device_map({"": "disk"}, offload_folder=v),
    ),
    "slices": ("slice_size", lambda p, v: p.enable_attention_slicing(v)),
    "bar desc": ("desc", lambda p, v: bar(p, desc=v)),
    "bar disable": ("disable", lambda p, v: bar(p, disable=v)),
    "bar ncols": ("ncols", lambda p, v: bar(p, ncols=v)),
    "bar file": ("file", lambda p, v: bar(p, file=v)),
    "bar format": ("bar_format", lambda p, v: bar(p, bar_format=v)),
    "bar position": ("position", lambda p, v: bar(p, position=v)),
    "bar unknown": ("nonsense", lambda p, v: bar(p, nonsense=v)),
    "bar total unknown": ("total", lambda p, v: bar(p, total=v)),
    "bar iterable": ("iterable", lambda p, v: p.progress_bar(v)),
    "bar total": ("total", lambda p, v: p.progress_bar(total=v)),
    "attach": ("add-?on", lambda p, v: p.attach(v)),
    "attach name": ("name", lambda p, v: p.attach(Attachment(), name=v)),
    "attach strength": ("strength", lambda p, v: p.attach(Attachment(), strength=v)),
    "attach source": ("source", lambda p, v: p.attach(Attachment(), v)),
    "detach": ("attachment", lambda p, v: p.detach(v)),
    "strengths": ("attachment", lambda p, v: p.set_attachments(v)),
    "engine": ("engine", lambda p, v: p.use_engine(v)),
    "engine of one": ("engine", lambda p, v: p.use_engine({"painter": v})),
    "from_pipe": ("from_pipe", lambda p, v: RelayPipeline.from_pipe(v)),
    "Auto from_pipe": ("from_pipe", lambda p, v: AutoPipelineForText2Image.from_pipe(v)),
    "from_pipe torch_dtype": ("dtype", lambda p, v: RelayPipeline.from_pipe(p, torch_dtype=v)),
    "from_pipe dtype": ("dtype", lambda p, v: RelayPipeline.from_pipe(p, dtype=v)),
    "from_pipe unknown": ("nonsense", lambda p, v: RelayPipeline.from_pipe(p, nonsense=v)),
    "adapters": ("adapters|attachment", lambda p, v: p(adapters=v)),  # type: ignore[call-arg]
    "cancellation": ("cancellation", lambda p, v: p(cancellation=v)),  # type: ignore[call-arg]
    "xformers": (
        "attention_op|xformers",
        lambda p, v: p.enable_xformers_memory_efficient_attention(v),
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_any_value_works_or_is_refused_by_name(
    act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, run = ACTS[act]
    for kind, value in ODD.items():
        pipe = relay()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                run(pipe, value)
            except AutopipeError as error:
                text = str(error)
                text.encode()
                assert re.search(name, text), f"{kind}: {text}"
                assert len(text) < 1500 or kind in ("long text", "digits"), f"{kind}: {text}"
                assert text.replace("\n", "").isprintable(), f"{kind}: {text!r}"
                assert not pipe._calls
                if act != "cancellation":
                    assert torch.is_tensor(pipe()), f"{kind}: it can't be used any more"


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_not_the_number_of_a_device(
    value: bool, pipe: RelayPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: torch.device("cuda"))
    for act in (
        lambda: pipe.to(value),
        lambda: pipe.to(device=value),
        lambda: pipe.enable_model_cpu_offload(value),
        lambda: pipe.enable_model_cpu_offload(device=value),
        lambda: pipe.set_device_map(value),
    ):
        with pytest.raises(ArgumentTypeError):
            act()


@pytest.mark.parametrize("number", [-1, 128, 10**30])
def test_an_impossible_number_of_a_device(
    number: int, pipe: RelayPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: torch.device("cuda"))
    for act in (
        lambda: pipe.to(number),
        lambda: pipe.enable_sequential_cpu_offload(number),
        lambda: pipe.set_device_map({"": number}),
        lambda: pipe.set_device_map("auto", max_memory={number: "1GB"}),
    ):
        with pytest.raises(ArgumentError, match="from 0"):
            act()


def test_names_of_the_dtype_that_the_weights_have(pipe: RelayPipeline) -> None:
    for dtype in ("float32", "torch.float32", "fp32", "auto", torch.float32):
        assert RelayPipeline.from_pipe(pipe, torch_dtype=dtype).painter is pipe.painter
    with pytest.raises(ArgumentError, match="shares the weights"):
        RelayPipeline.from_pipe(pipe, torch_dtype="fp16")


def test_a_misspelt_setting_of_the_bar_is_told_the_nearest(pipe: RelayPipeline) -> None:
    with pytest.raises(ArgumentTypeError, match="Did you mean 'disable'"):
        pipe.set_progress_bar_config(disabel=True)
    pipe.set_progress_bar_config(desc="drawing", leave=False, colour="green", disable=None)
    assert set(pipe._progress_bar_config) == {"desc", "leave", "colour", "disable"}


def test_a_refused_setting_leaves_bars_free_for_other_threads(pipe: RelayPipeline) -> None:
    for settings in ({"desc": 3}, {"bar_format": "{nothing}"}, {"file": 1}):
        with pytest.raises(ArgumentTypeError):
            pipe.set_progress_bar_config(**settings)
    bars = threading.Thread(target=lambda: list(pipe.progress_bar(range(2))), daemon=True)
    bars.start()
    bars.join(60)
    assert not bars.is_alive()


def test_a_folder_to_offload_to_that_is_a_file(pipe: RelayPipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AutopipeError, match="offload_folder"):
        pipe.set_device_map({"": "disk"}, offload_folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert pipe.placement.title == "resident"
