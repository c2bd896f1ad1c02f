"""What the U-Net is told of sizes."""

from __future__ import annotations

from autopipe_sdxl.sizes import Sizes, ids_of_image, ids_of_noise, ids_of_scored_image

FULL = Sizes(
    original_size=(1, 2),
    crops_coords_top_left=(3, 4),
    target_size=(5, 6),
    negative_original_size=(7, 8),
    negative_crops_coords_top_left=(9, 10),
    negative_target_size=(11, 12),
    aesthetic_score=13,
    negative_aesthetic_score=14,
)


def test_absent_sizes_are_those_of_the_image() -> None:
    plain = [30, 40, 0, 0, 30, 40]
    assert ids_of_noise(Sizes(), 30, 40) == (plain, plain)
    assert ids_of_image(Sizes(), 30, 40) == (plain, plain)
    assert ids_of_scored_image(Sizes(), 30, 40) == ([30, 40, 0, 0, 2.5], [30, 40, 0, 0, 6.0])


def test_all_sizes_given() -> None:
    assert ids_of_noise(FULL, 30, 40) == ([7, 8, 9, 10, 11, 12], [1, 2, 3, 4, 5, 6])
    assert ids_of_image(FULL, 30, 40) == ([7, 8, 3, 4, 11, 12], [1, 2, 3, 4, 5, 6])
    assert ids_of_scored_image(FULL, 30, 40) == ([7, 8, 9, 10, 14], [1, 2, 3, 4, 13])


def test_one_negative_size_counts_only_with_an_image() -> None:
    one = Sizes(negative_original_size=(7, 8), negative_crops_coords_top_left=(9, 10))
    plain = [30, 40, 0, 0, 30, 40]
    assert ids_of_noise(one, 30, 40) == (plain, plain)
    assert ids_of_image(one, 30, 40)[0] == [7, 8, 0, 0, 30, 40]
