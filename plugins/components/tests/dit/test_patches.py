from __future__ import annotations

import math

import pytest
import torch

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.dit.patches import PatchEmbed, embed_positions, join_patches


def test_the_first_half_embeds_columns_and_the_second_rows() -> None:
    grid = embed_positions(2, 3, 8, span=2).reshape(2, 3, 2, 4)
    assert torch.equal(grid[0, :, 0], grid[1, :, 0])
    assert torch.equal(grid[:, 0, 1], grid[:, 2, 1])
    # Rows 0 and 1; columns in steps of 2 / 3, so that all sizes cover the same range.
    for place, got in ((1.0, grid[1, 0, 1]), (2 / 3, grid[0, 1, 0])):
        waves = [math.sin(place), math.sin(place / 100), math.cos(place), math.cos(place / 100)]
        torch.testing.assert_close(got, torch.tensor(waves))


def test_patches_are_joined_where_they_were() -> None:
    image = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    patches = image.unfold(2, 2, 2).unfold(3, 2, 2)  # (B, C, rows, columns, 2, 2)
    tokens = patches.permute(0, 2, 3, 4, 5, 1).reshape(2, 6, 12)
    assert torch.equal(join_patches(tokens, 2, 3, 2), image)


def test_a_grid_that_is_stored_gives_images_its_middle() -> None:
    embed = PatchEmbed(side=4, patch=2, channels=3, width=8, most=5)
    torch.nn.init.zeros_(embed.proj.weight)
    torch.nn.init.zeros_(embed.proj.bias)  # type: ignore[arg-type]  # it has one
    assert set(embed.state_dict()) == {"pos_embed", "proj.weight", "proj.bias"}
    grid = embed_positions(5, 5, 8, span=2).reshape(5, 5, 8)
    found = embed(torch.zeros(1, 3, 2, 6))
    assert torch.equal(found[0], grid[2, 1:4])
    with pytest.raises(ArgumentError, match="positions for 5 x 5"):
        embed(torch.zeros(1, 3, 2, 12))


def test_a_stored_grid_has_a_limit() -> None:
    with pytest.raises(ConfigError, match="pos_embed_max_size asks for positions"):
        PatchEmbed(side=4, patch=2, channels=3, width=8, most=1 << 15)
