"""What can't be loaded is refused before weights are fetched, read or allocated."""

from __future__ import annotations

import ctypes
import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.blocks import Tower
from support.hub_server import HubServer
from support.sparse import sparse_folder
from transformers import T5Config, T5EncoderModel

from autopipe.checkpoint import checkpoint as loading
from autopipe.checkpoint import foresight
from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.checkpoint.foresight import need_in
from autopipe.checkpoint.options import LoadOptions
from autopipe.checkpoint.plan import files_of
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import PlacementError, QuantizedWeightsError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import bytes_of

from .conftest import TinyNet, TinyPipeline

NET, TEXT, CHECKER = "net", "text_encoder", "checker"


def give(monkeypatch: pytest.MonkeyPatch, **memory: int) -> None:
    """Pretend that devices have so many bytes."""
    found = {torch.device(name): size for name, size in memory.items()}
    monkeypatch.setattr(foresight, "whole_memory", found.get)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, loading a component fails the test."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a component was loaded")

    monkeypatch.setattr(loading, "load_component", refuse)


def sizes(folder: Path, **keywords: Any) -> dict[str, int]:
    """The bytes of weights, by component, of what is really loaded."""
    pipe = TinyPipeline.from_pretrained(folder, **keywords)
    found = {}
    for name, network in pipe._networks().items():
        kept = network.state_dict().keys()
        tensors = (*network.named_parameters(), *network.named_buffers())
        found[name] = sum(tensor.nbytes for n, tensor in tensors if n in kept)
    return found


@pytest.fixture
def half(saved: Path) -> Path:
    """The checkpoint in bfloat16, as large ones are published."""
    pipe = TinyPipeline.from_pretrained(saved, torch_dtype="bfloat16", disable_mmap=True)
    pipe.save_pretrained(saved)
    return saved


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", "float16", "auto"])
@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_needs_are_those_of_what_is_loaded(saved: Path, dtype: str | None, stored: str) -> None:
    pipe = TinyPipeline.from_pretrained(saved, torch_dtype=stored, disable_mmap=True)
    pipe.save_pretrained(saved)
    keywords = {} if dtype is None else {"torch_dtype": dtype}
    plan = Checkpoint.open(saved, keywords).plan(TinyPipeline)
    (stage,) = foresight.foresee(plan)
    needs = stage.needs(stage.options)
    assert {one.name: one.weights for one in needs} == sizes(saved, **keywords)
    is_mapped = dtype in ("auto", stored) or (dtype is None and stored == "float32")
    assert all(one.copied == (0 if is_mapped else one.weights) for one in needs)


def test_a_text_encoder_keeps_what_its_class_keeps(tmp_path: Path) -> None:
    config = T5Config(d_model=8, d_ff=16, d_kv=4, num_layers=1, num_heads=2, vocab_size=12)
    encoder = T5EncoderModel(config).to(torch.bfloat16)
    encoder.save_pretrained(tmp_path / "text")
    source = LocalSource(tmp_path / "text")
    files = files_of(T5EncoderModel, source, (), LoadOptions())
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        need = need_in(source, T5EncoderModel, files, LoadOptions(dtype=dtype), "")
        of_kept = 4 if dtype is torch.float16 else dtype.itemsize
        more = 8 * 16 * (of_kept - dtype.itemsize)
        assert need.weights == bytes_of(encoder) // 2 * dtype.itemsize + more
        assert need.layer == 8 * 16 * of_kept


def test_what_cannot_fit_is_refused_with_what_would(
    half: Path, unread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = foresight.foresee(Checkpoint.open(half, {}).plan(TinyPipeline))
    total = sum(one.weights for one in needs[0].needs(needs[0].options))
    give(monkeypatch, cpu=total - 1)
    with pytest.raises(PlacementError) as caught:
        TinyPipeline.from_pretrained(half)
    text = str(caught.value)
    assert text.startswith(f"the weights of TinyPipeline of {half} take ")
    for words in (
        "in float32 (text_encoder ",
        "but this machine has ",
        "of main memory. What fits: torch_dtype='auto' (",
        "which stay in their files",
        "torch_dtype='float16' (",
        "check_memory=False",
    ):
        assert words in text
    give(monkeypatch, cpu=total)
    with pytest.raises(AssertionError, match="was loaded"):
        TinyPipeline.from_pretrained(half)


@pytest.mark.parametrize(
    "keywords", [{"check_memory": False}, {"torch_dtype": "auto"}, {"torch_dtype": "bfloat16"}]
)
def test_what_is_advised_loads(
    half: Path, keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, cpu=sum(sizes(half, torch_dtype="bfloat16").values()))
    with pytest.raises(PlacementError, match="torch_dtype='bfloat16'"):
        TinyPipeline.from_pretrained(half)
    assert TinyPipeline.from_pretrained(half, **keywords)


def test_an_optional_component_may_be_what_is_too_much(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 from float32 nothing is copied, so they are read."""
    found = sizes(saved)
    give(monkeypatch, cpu=found[NET] + found[TEXT])
    read = {"disable_mmap": True, "torch_dtype": "float32"}
    monkeypatch.setattr(foresight, "_SMALL", {})
    with pytest.raises(PlacementError, match=r"What fits: checker=None; or pass check_memory"):
        TinyPipeline.from_pretrained(saved, **read)
    assert TinyPipeline.from_pretrained(saved, checker=None, **read).checker is None
    give(monkeypatch, cpu=1)
    with pytest.raises(PlacementError, match=r"has 1 B of main memory\. Use a machine with more"):
        TinyPipeline.from_pretrained(saved, **read)


def test_a_smaller_dtype_and_less_may_be_needed_together(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sizes(saved, torch_dtype="float16")
    give(monkeypatch, cpu=found[NET] + found[TEXT])
    monkeypatch.setattr(foresight, "_SMALL", {"float16": torch.float16})
    with pytest.raises(PlacementError, match=r"fits: torch_dtype='float16' and checker=None; or"):
        TinyPipeline.from_pretrained(saved, disable_mmap=True)


def test_no_dtype_is_advised_with_which_layers_cannot_compute(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved / NET / "diffusion_pytorch_model.safetensors"
    state = {
        name: tensor.to(torch.float8_e4m3fn) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in load_file(file).items()
    }
    file.unlink()
    save_file(state, file)
    found = sizes(saved, torch_dtype="bfloat16")
    give(monkeypatch, cpu=sum(found.values()))
    with pytest.raises(PlacementError, match=r"fits: torch_dtype='bfloat16' \(.*'float16'"):
        TinyPipeline.from_pretrained(saved, torch_dtype="float32", disable_mmap=True)
    assert TinyPipeline.from_pretrained(saved, torch_dtype="bfloat16", disable_mmap=True)


@pytest.mark.parametrize(
    ("memory", "words"),
    [("net", "model offload, text_encoder"), ("layer", "sequential offload")],
)
def test_a_device_that_is_too_small_is_refused_for_an_offload(
    saved: Path, unread: None, memory: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meta` stands for an accelerator."""
    (stage,) = foresight.foresee(Checkpoint.open(saved, {}).plan(TinyPipeline))
    needs = stage.needs(stage.options)
    most = max(one.weights if memory == "net" else one.layer for one in needs)
    give(monkeypatch, cpu=10**9, meta=most)
    monkeypatch.setattr(foresight, "_SMALL", {})
    with pytest.raises(PlacementError, match=rf"but meta has .*memory='auto' in place .*{words}"):
        TinyPipeline.from_pretrained(saved, device_map="meta")
    give(monkeypatch, cpu=10**9, meta=sum(one.weights for one in needs))
    with pytest.raises(AssertionError, match="was loaded"):
        TinyPipeline.from_pretrained(saved, device_map="meta")


def test_weights_that_stay_in_their_files_may_be_larger_than_memory(
    saved: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give(monkeypatch, cpu=100)
    monkeypatch.setattr(foresight, "accelerator", lambda: None)
    pipe = TinyPipeline.from_pretrained(saved, torch_dtype="float32")
    assert "read them from the disk in every step" in caplog.text
    assert "or pass checker=None" in caplog.text
    caplog.clear()
    monkeypatch.setattr(foresight, "accelerator", lambda: torch.device("cuda"))
    TinyPipeline.from_pretrained(saved, torch_dtype="float32")
    give(monkeypatch, cpu=bytes_of(pipe.net) * 100)
    TinyPipeline.from_pretrained(saved)
    assert not caplog.records


def test_a_network_alone_is_refused_as_well(
    net_folder: Path, unread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, cpu=100)
    with pytest.raises(PlacementError, match=r"the weights of TinyNet of .* in float16 \(\d+ B\)"):
        TinyNet.from_pretrained(net_folder, torch_dtype="float16")
    with pytest.raises(AssertionError, match="was loaded"):
        TinyNet.from_pretrained(net_folder, torch_dtype="float32")


# Repositories


@pytest.fixture
def hub(hub_server: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """`owner/name`, whose weights count as large."""
    monkeypatch.setattr(foresight, "LARGE", 0)
    hub_server.add("owner/name", saved)
    return hub_server


def whole(server: HubServer) -> list[str]:
    """The weights that were sent from their first to their last byte."""
    held = server.repositories["owner/name"].files()
    asked = [
        path
        for path in held
        for request in server.sent(path)
        if path.endswith((".safetensors", ".bin")) and not request.range
    ]
    return sorted(set(asked))


def test_nothing_large_is_fetched_that_cannot_be_held(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, cpu=100)
    with pytest.raises(PlacementError, match="of main memory"):
        TinyPipeline.from_pretrained("owner/name", torch_dtype="float16")
    assert whole(hub) == []
    assert TinyPipeline.from_pretrained("owner/name", check_memory=False)
    assert len(whole(hub)) == 3


@pytest.mark.parametrize("where", ["config", "names"])
def test_nothing_large_is_fetched_that_is_quantized(
    hub_server: HubServer, saved: Path, edit: Callable[..., None], where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(foresight, "LARGE", 0)
    if where == "config":
        edit(saved / NET / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    else:
        file = saved / TEXT / "model.safetensors"
        state = {name: tensor.clone() for name, tensor in load_file(file).items()}
        save_file({**state, "a.weight.absmax": torch.ones(1)}, file)
    hub_server.add("owner/name", saved)
    with pytest.raises(QuantizedWeightsError, match=r"bitsandbytes.*without quantization"):
        TinyPipeline.from_pretrained("owner/name")
    assert whole(hub_server) == []


def test_a_repository_of_llama_cpp_is_named(hub_server: HubServer) -> None:
    hub_server.add("owner/name", {"net-Q4_0.gguf": b"GGUF" + bytes(60), "README.md": b"x"})
    with pytest.raises(QuantizedWeightsError, match=r"net-Q4_0\.gguf has .*\(GGUF\)"):
        DiffusionPipeline.from_pretrained("owner/name")
    assert hub_server.fetched() == []
    with pytest.raises(QuantizedWeightsError, match="GGUF"):
        DiffusionPipeline.from_single_file("https://hf.co/owner/name/blob/main/net-Q4_0.gguf")
    assert hub_server.fetched() == []


# Blocks


def used() -> int:
    """Bytes of this process that the system can't drop, without what earlier tests freed."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text(encoding="ascii").split()
    return int(status[status.index("RssAnon:") + 1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
@pytest.mark.parametrize(
    ("stored", "dtype", "times"),
    [("BF16", "bfloat16", 0), ("BF16", "auto", 0), ("BF16", "float32", 2), ("F32", "bfloat16", 1)],
)
def test_weights_come_straight_into_place(
    tmp_path: Path, stored: str, dtype: str, times: int
) -> None:
    """In bfloat16 they take 50 MB; what is mapped takes none, and what is cast is held once."""
    folder = sparse_folder(tmp_path / "tower", Tower, {"width": 512, "depth": 8}, stored)
    Tower(8).to(torch.bfloat16)
    before = used()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    tower = Tower.from_pretrained(folder, torch_dtype=dtype)
    status = Path("/proc/self/status").read_text(encoding="ascii").split()
    size = 8 * 12 * 512**2 * 2
    assert abs(used() - before - times * size) < 0.1 * size
    peak = int(status[status.index("VmHWM:") + 1]) * 1024
    now = int(status[status.index("VmRSS:") + 1]) * 1024
    assert peak - now < 0.2 * size
    assert len(tower.blocks) == 8


def test_a_large_single_file_that_is_quantized_is_not_fetched(
    hub_server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    save_file({"a.qweight": torch.ones(1)}, tmp_path / "files" / "x.safetensors")
    hub_server.add("owner/name", tmp_path / "files")
    monkeypatch.setattr("autopipe.checkpoint.address.LARGE", 0)
    with pytest.raises(QuantizedWeightsError, match=r"x\.safetensors .*GPTQ"):
        DiffusionPipeline.from_single_file("https://hf.co/owner/name/blob/main/x.safetensors")
    assert whole(hub_server) == []


def test_quiet_when_it_fits(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        TinyPipeline.from_pretrained(saved)
    assert not [one for one in caplog.records if "foresight" in one.name]
