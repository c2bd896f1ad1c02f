"""What of a call is a row, what can be joined, and how results are split."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe import UNet2DConditionModel
from autopipe_serve.sharing.rows import NotInRows, joined, reader_of, split


class Net(nn.Module):
    def forward(self, sample: Tensor, timestep: Any, more: Any = None, scale: float = 1) -> Tensor:
        return sample


class Encoder(nn.Module):
    def forward(self, sample: Tensor) -> Tensor:
        return sample


READ: Any = reader_of(Net())
SAMPLE = torch.zeros(2, 4, 8, 8)


@pytest.fixture(autouse=True)
def _without_gradients() -> Any:
    with torch.no_grad():
        yield


def key(*args: Any, **kwargs: Any) -> Any:
    found = READ(*args, **kwargs)
    return None if found is None else found.key


def test_networks_without_a_timestep_have_no_steps_to_share() -> None:
    assert reader_of(Encoder()) is None
    assert reader_of(nn.Linear(2, 2)) is None
    with torch.device("meta"):
        assert reader_of(UNet2DConditionModel(block_out_channels=(32,) * 4)) is not None


@pytest.mark.parametrize(
    "timestep", [7, torch.tensor(7), torch.tensor([7]), torch.tensor([7, 7])], ids=str
)
def test_the_timestep_is_expanded_in_its_place(timestep: Any) -> None:
    for args, kwargs in (((SAMPLE, timestep), {}), ((), {"timestep": timestep, "sample": SAMPLE})):
        rows = READ(*args, **kwargs)
        assert (rows.count, rows.timesteps.tolist()) == (2, [7, 7])
        assert rows.given == (args, kwargs)
        (args, kwargs) = joined([rows, rows.with_timesteps(torch.tensor([1]))])
        found = {**dict(zip(("sample", "timestep"), args)), **kwargs}
        assert found["sample"].shape == (4, 4, 8, 8)
        assert found["timestep"].tolist() == [7, 7, 1, 1]


def test_calls_of_other_prompts_steps_and_batches_have_one_key() -> None:
    first = key(SAMPLE, 7, {"text": torch.zeros(2, 3)})
    assert first == key(SAMPLE + 1, torch.tensor(0.5), {"text": torch.ones(2, 3)})
    assert first == key(SAMPLE[:1], 7, {"text": torch.zeros(1, 3)})


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((SAMPLE[..., :4], 7), {}),
        ((SAMPLE.double(), 7), {}),
        ((SAMPLE, 7), {"scale": 0.5}),
        ((SAMPLE, 7), {"scale": True}),
        ((SAMPLE, 7, torch.zeros(2, 3)), {}),
        ((SAMPLE, 7, {"text": torch.zeros(2, 3)}), {}),
        ((SAMPLE, 7, [torch.zeros(2, 3)]), {}),
    ],
)
def test_other_sizes_dtypes_values_and_arguments_have_another_key(args: Any, kwargs: Any) -> None:
    found = key(*args, **kwargs)
    assert found is not None
    assert found != key(SAMPLE, 7)
    assert found == key(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((SAMPLE, torch.zeros(3)), {}),
        ((SAMPLE, torch.zeros(2, 1)), {}),
        ((SAMPLE, None), {}),
        ((SAMPLE, 7, torch.zeros(3, 3)), {}),
        ((SAMPLE, 7, torch.zeros(())), {}),
        ((SAMPLE, 7, object()), {}),
        ((SAMPLE, 7, torch.zeros(2, 3).to_sparse()), {}),
        ((torch.zeros(2), 7), {}),
        (("picture", 7), {}),
        ((), {"timestep": 7}),
        ((SAMPLE,), {}),
    ],
)
def test_what_has_no_rows_is_not_read(args: Any, kwargs: Any) -> None:
    assert READ(*args, **kwargs) is None


def test_the_modes_of_a_thread_count() -> None:
    plain = key(SAMPLE, 7)
    with torch.autocast("cpu", torch.bfloat16):
        assert plain != key(SAMPLE, 7)
    with torch.inference_mode():
        assert plain != key(SAMPLE, 7)
    with torch.enable_grad():
        assert READ(SAMPLE, 7) is None


def test_results_are_split_like_the_calls() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    found = split({"a": rows, "b": (rows + 10, None, 0.5)}, [1, 2])
    assert [one["a"].tolist() for one in found] == [[[0, 1]], [[2, 3], [4, 5]]]
    assert [one["b"][0].tolist() for one in found] == [[[10, 11]], [[12, 13], [14, 15]]]
    assert all(one["b"][1:] == (None, 0.5) for one in found)


@pytest.mark.parametrize("result", [torch.zeros(2, 2), torch.zeros(()), object()])
def test_results_without_a_row_for_each_sample_are_refused(result: Any) -> None:
    with pytest.raises(NotInRows):
        split((torch.zeros(3, 2), result), [1, 2])
