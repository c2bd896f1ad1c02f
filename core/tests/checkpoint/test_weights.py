from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from autopipe.checkpoint.build import WithoutMemory
from autopipe.checkpoint.weights import fill, finish
from autopipe.errors import CheckpointError, WeightsMismatchError

from .conftest import TinyNet


def keep(name: str, dtype: torch.dtype) -> torch.dtype:
    return dtype


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 2, bias=False)
        self.other = nn.Linear(2, 2, bias=False)
        self.other.weight = self.one.weight


@pytest.mark.parametrize("name", ["one.weight", "other.weight"])
def test_either_name_of_a_tied_tensor_is_enough(name: str) -> None:
    with WithoutMemory():
        model = Tied()
    info = fill(model, {name: torch.ones(2, 2)}, origin="file")
    assert info.missing == info.unexpected == ()
    assert model.one.weight is model.other.weight
    assert torch.equal(model.one.weight, torch.ones(2, 2))


def test_tensors_are_put_in_place_and_not_copied() -> None:
    state = TinyNet().state_dict()
    with WithoutMemory():
        net = TinyNet()
    fill(net, state, origin="file")
    assert net.seed.data_ptr() == state["seed"].data_ptr()
    assert net.count.data_ptr() == state["count"].data_ptr()


def test_frozen_parameters_stay_frozen() -> None:
    state = TinyNet().state_dict()
    with WithoutMemory():
        net = TinyNet()
    net.seed.requires_grad_(False)
    fill(net, state, origin="file")
    assert not net.seed.requires_grad
    assert net.precise.weight.requires_grad


def test_a_tensor_that_nothing_fills_is_named() -> None:
    with WithoutMemory():
        model = nn.Module()
        model.register_buffer("lost", torch.empty(3), persistent=False)
    fill(model, {}, origin="file")
    with pytest.raises(CheckpointError, match="lost"):
        finish(model, {}, keep, "file")


NOT_FLOATS = [
    torch.int8, torch.int32, torch.int64, torch.uint8, torch.bool, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip


@pytest.mark.parametrize("dtype", NOT_FLOATS, ids=str)
@pytest.mark.parametrize("name", ["seed", "precise.weight", "layers.0.weight"])
def test_one_tensor_with_which_layers_can_not_compute_is_refused(
    dtype: torch.dtype, name: str
) -> None:
    state = TinyNet().state_dict()
    state[name] = torch.ones_like(state[name]).to(dtype)
    for ignore in (True, False):
        with WithoutMemory():
            net = TinyNet()
        with pytest.raises(WeightsMismatchError, match=f"file has tensors of .*{name}"):
            fill(net, state, origin="file", ignore_mismatched_sizes=ignore)


def test_a_small_dtype_that_the_caller_wants_is_kept() -> None:
    state = {n: t.to(torch.float8_e4m3fn) if n == "seed" else t
             for n, t in TinyNet().state_dict().items()}  # fmt: skip
    net = TinyNet()
    fill(net, state, origin="file", dtype=torch.float8_e4m3fn)
    assert net.seed.dtype is torch.float8_e4m3fn


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64, torch.bool], ids=str)
def test_buffers_of_whole_numbers_may_have_another_width(dtype: torch.dtype) -> None:
    state = TinyNet().state_dict()
    state["count"] = torch.ones((), dtype=dtype)
    net = TinyNet()
    fill(net, state, origin="file")
    assert int(net.count) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_other_numbers_in_a_buffer_of_whole_ones_are_refused(dtype: torch.dtype) -> None:
    state = {**TinyNet().state_dict(), "count": torch.ones((), dtype=dtype)}
    with pytest.raises(WeightsMismatchError, match="count"):
        fill(TinyNet(), state, origin="file")


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("dtype", ["auto", None, torch.float16])
def test_files_of_numbers_that_are_no_weights_are_named(
    net_folder: Path, safe: bool, dtype: torch.dtype | str | None
) -> None:
    file = next(net_folder.glob("*.safetensors"))
    state = {name: tensor.int() for name, tensor in load_file(file).items()}
    file.unlink()
    save = save_file if safe else torch.save
    file = file.with_suffix(".safetensors" if safe else ".bin")
    save(state, file)
    with pytest.raises(WeightsMismatchError, match=str(file)):
        TinyNet.from_pretrained(net_folder, torch_dtype=dtype)


def test_small_weights_become_larger_ones_unless_auto_keeps_them(net_folder: Path) -> None:
    file = next(net_folder.glob("*.safetensors"))
    state = load_file(file)
    small = {n: t.to(torch.float8_e4m3fn) if t.is_floating_point() else t for n, t in state.items()}
    save_file(small, file)
    assert TinyNet.from_pretrained(net_folder).dtype is torch.float32
    assert TinyNet.from_pretrained(net_folder, torch_dtype=torch.float16).dtype is torch.float16
    with pytest.raises(WeightsMismatchError, match=r"torch_dtype=torch\.float16"):
        TinyNet.from_pretrained(net_folder, torch_dtype="auto")
