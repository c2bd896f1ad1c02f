"""Which device a caller means."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError, PlacementError
from autopipe.placement.devices import device_of, free_memory, key_of, offload_device

CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("gpu_id", "device", "before", "expected"),
    [
        (None, None, None, "cuda:0"),
        (1, None, None, "cuda:1"),
        (0, None, "cuda:1", "cuda:0"),
        (None, None, "cuda:1", "cuda:1"),
        (None, "cuda", "cuda:1", "cuda:1"),
        (None, "cuda:2", "cuda:1", "cuda:2"),
        (3, "cuda", "cuda:1", "cuda:3"),
        (None, "xpu", "cuda:1", "xpu:0"),
        (None, "cpu", "cuda:1", "cpu"),
    ],
)
def test_the_device_to_compute_on(
    gpu_id: int | None,
    device: str | None,
    before: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: CUDA)
    known = None if before is None else torch.device(before)
    assert offload_device(gpu_id, device, known) == torch.device(expected)


def test_contradictions_and_unknown_devices_are_refused() -> None:
    with pytest.raises(ArgumentError, match="gpu_id=1 and device='cuda:0'"):
        offload_device(1, "cuda:0", None)
    with pytest.raises(ArgumentError, match="is not a device"):
        offload_device(None, "gpu", None)


def test_without_an_accelerator_one_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: None)
    with pytest.raises(PlacementError, match="torch finds none"):
        offload_device(None, None, None)
    assert offload_device(None, "cpu", None) == torch.device("cpu")


@pytest.mark.parametrize(
    ("key", "device"), [(0, "cuda:0"), ("cuda:1", "cuda:1"), ("cuda", "cuda:0"), ("cpu", "cpu")]
)
def test_keys_of_max_memory(key: Any, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: CUDA)
    assert device_of(key) == torch.device(device)


def test_devices_are_shown_as_the_reference_shows_them() -> None:
    assert [key_of(torch.device(d)) for d in ("cuda:1", "cpu", "mps")] == [1, "cpu", "mps"]


def test_main_memory_is_measured() -> None:
    assert 0 < free_memory()[torch.device("cpu")] < 2**50
