"""Which way of placing the networks fits a budget."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.relay import Coder, linear, relay
from torch import nn

from autopipe.placement.base import Role
from autopipe.placement.budget import Candidate, Footprint, candidates, choose, footprints_of

TURN, STAYS, BESIDE = {"in_turn": True}, {"stays": True}, {}


def need(name: str, weights: int, layer: int, work: int, role: dict[str, bool] = TURN) -> Footprint:
    return Footprint(name, weights, layer, work, Role(name, **role))


def takes(*needs: Footprint) -> dict[str, int]:
    return {way.title: way.takes for way in candidates(needs)}


def test_each_way_takes_what_is_there_at_one_time() -> None:
    # In model offload the decoder needs most: 200 + 500 beats 600 + 50.
    assert takes(
        need("text", 100, 40, 0), need("unet", 600, 30, 50), need("vae", 200, 10, 500)
    ) == {"resident": 900 + 500, "model offload": 700, "sequential offload": 510}


def test_what_alternates_or_stays_is_there_beside_the_others() -> None:
    found = takes(
        need("unet", 600, 30, 50),
        need("controlnet", 300, 20, 40, BESIDE),
        need("guard", 90, 9, 0, STAYS),
    )
    assert found == {
        "resident": 990 + 50,
        "model offload": 90 + 300 + 600 + 50,
        "sequential offload": 90 + 30 + 50,
    }


WAYS = [
    Candidate("resident", 100, "all"),
    Candidate("model offload", 60, "unet"),
    Candidate("sequential", 10, "a"),
]


@pytest.mark.parametrize(
    ("budget", "title", "fits", "is_tight"),
    [
        (1000, "resident", True, False),
        (130, "resident", True, False),
        (129, "resident", True, True),
        (100, "resident", True, True),
        (99, "model offload", True, False),
        (60, "model offload", True, True),
        (59, "sequential", True, False),
        (9, "sequential", False, True),
    ],
)
def test_the_fastest_that_fits_is_chosen(
    budget: int, title: str, fits: bool, is_tight: bool
) -> None:
    choice = choose(WAYS, budget, work=10, label="memory='x'")
    assert (choice.candidate.title, choice.fits, choice.is_tight) == (title, fits, is_tight)
    lines = choice.reason.splitlines()
    assert lines[0] == f"memory='x' allows {budget} B" or budget == 1000
    assert sum("too much" in line for line in lines) == len(
        [way for way in WAYS if way.takes > budget]
    )
    assert sum("chosen" in line for line in lines) == fits


def test_sizes_are_read_from_the_networks() -> None:
    pipe = relay()
    by_name = {n.name: n for n in footprints_of(pipe._networks(), pipe._pool.roles())}
    assert by_name["reader"] == Footprint("reader", 80, 80, 0, Role("reader", in_turn=True))
    # A linear layer of 4 x 4 and 4 numbers, a scale and a shift, of 4 bytes each.
    assert by_name["coder"] == Footprint("coder", 88, 80, 0, Role("coder", in_turn=True))
    assert by_name["guard"].role == Role("guard", stays=True)


def work(network: nn.Module, **config: Any) -> int:
    network.config = SimpleNamespace(**config)  # type: ignore[assignment]
    return footprints_of({"n": network}, {})[0].work


def test_what_is_computed_follows_from_the_config() -> None:
    unet = {"block_out_channels": (8, 16), "sample_size": 32}
    assert work(linear(), **unet) == 1.25 * 52 * 8 * 32 * 32 * 4
    assert work(linear().to(torch.float16), **unet) == 1.25 * 52 * 8 * 32 * 32 * 2
    assert work(linear(), **{**unet, "sample_size": (32, 64)}) == 1.25 * 52 * 8 * 32 * 64 * 4
    assert work(linear(), sample_size=32) == 0
    coder = Coder().to(torch.float16)
    needed = footprints_of({"n": coder}, {})[0].work
    assert needed == 0


class Decoder(nn.Linear):
    """Counts as an autoencoder, whose size is in pixels."""

    def decode(self) -> None:
        """Never called here."""


def test_an_autoencoder_holds_fewer_tensors_but_perhaps_in_float32() -> None:
    config = {"block_out_channels": (8,), "sample_size": 32}
    half = Decoder(2, 2).to(torch.float16)
    assert work(half, **config) == 1.25 * 7 * 8 * 32 * 32 * 2
    assert work(half, **config, force_upcast=True) == 1.25 * 7 * 8 * 32 * 32 * 4
