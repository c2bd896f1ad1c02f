from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from autopipe_components.networks.tiling import in_tiles


@pytest.mark.parametrize("size", [(8, 8), (20, 12), (9, 31)])
def test_what_sees_only_its_own_pixel_is_the_same_in_tiles(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)

    def enlarge(part: torch.Tensor) -> torch.Tensor:
        return F.interpolate(part, scale_factor=2.0, mode="nearest")

    found = in_tiles(enlarge, x, tile=8, made=16, overlap=0.25)
    torch.testing.assert_close(found, enlarge(x))


def test_shrinking_tiles() -> None:
    x = torch.randn(1, 1, 24, 40)
    found = in_tiles(lambda part: F.avg_pool2d(part, 2), x, tile=16, made=8, overlap=0.25)
    torch.testing.assert_close(found, F.avg_pool2d(x, 2))


def test_no_part_is_larger_than_a_tile() -> None:
    seen = []

    def note(part: torch.Tensor) -> torch.Tensor:
        seen.append(part.shape[-2:])
        return part

    in_tiles(note, torch.zeros(1, 1, 20, 10), tile=8, made=8, overlap=0.25)
    assert max(h for h, _ in seen) == max(w for _, w in seen) == 8


def test_a_seam_is_a_slope() -> None:
    brightness = iter([0.0, 4.0])
    x = torch.zeros(1, 1, 4, 10)
    # Tiles are 8 wide, 4 of which overlap: two of them, then a strip that is already covered.
    found = in_tiles(
        lambda part: torch.full_like(part, next(brightness, 4.0)), x, tile=8, made=8, overlap=0.5
    )
    assert found[0, 0, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 4]


def test_the_result_does_not_change_what_the_work_returned() -> None:
    x = torch.randn(1, 1, 12, 12)
    before = x.clone()
    in_tiles(lambda part: part, x, tile=8, made=8, overlap=0.25)
    assert torch.equal(x, before)
