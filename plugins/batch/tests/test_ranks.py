"""Parts of a batch for programs that a launcher starts."""

from __future__ import annotations

import pytest

from autopipe.errors import ArgumentError
from autopipe_batch.ranks import Rank, rank_of


def test_without_a_launcher_there_is_one_part() -> None:
    rank = rank_of({})
    assert (rank, rank.name) == (Rank(), "")
    assert list(rank.part("abc")) == ["a", "b", "c"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_parts_are_disjoint_and_together_everything(count: int) -> None:
    everything = list(range(20))
    ranks = [rank_of({"RANK": str(i), "WORLD_SIZE": str(count)}) for i in range(count)]
    parts = [rank.part(everything) for rank in ranks]
    assert sorted(one for part in parts for one in part) == everything
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_parts_have_names_and_devices_of_their_own() -> None:
    places = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    ranks = [rank_of({**places, "RANK": str(i), "LOCAL_RANK": str(i % 2)}) for i in range(4)]
    assert [rank.name for rank in ranks] == ["1-of-4", "2-of-4", "3-of-4", "4-of-4"]
    devices = [rank.device(["cuda:0", "cuda:1", "cpu"]) for rank in ranks]
    assert devices == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert ranks[1].device(["cpu"]) is None
    assert ranks[0].local_count == 2


def test_launchers_of_mpi() -> None:
    names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")
    assert rank_of(dict(zip(names, ("3", "4", "1")))) == Rank(3, 4, 1, 4)
    assert rank_of({"PMI_RANK": "1", "PMI_SIZE": "2"}) == Rank(1, 2, 1, 2)
    assert rank_of({"RANK": "1"}) == Rank()


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "x", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "0"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"},
    ],
)
def test_what_is_no_place_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ArgumentError, match="RANK="):
        rank_of(environment)
