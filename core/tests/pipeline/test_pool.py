"""What the pool knows of its views, and what is left when placing their networks fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.relay import PaintingPipeline, RelayPipeline, relay, state

from autopipe.placement.base import Role
from autopipe.placement.offload import ModelOffload


def test_roles_follow_from_all_views() -> None:
    pipe = relay()
    view = PaintingPipeline.from_pipe(pipe)
    roles = {role.name: role for role in pipe._pool.roles().values()}
    assert roles == {
        "reader": Role("reader", in_turn=True),
        "painter": Role("painter", in_turn=True),
        "coder": Role("coder", in_turn=True),
        "guide": Role("guide"),
        "guard": Role("guard", stays=True),
    }
    assert view._pool is pipe._pool


def test_a_placement_that_fails_leaves_the_pipeline_resident(
    pipe: RelayPipeline, expected: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, network: Any, role: Any) -> None:
        if role.name == "coder":
            raise MemoryError("full")

    monkeypatch.setattr(ModelOffload, "install", refuse)
    with pytest.raises(MemoryError):
        pipe.enable_model_cpu_offload(device="cpu")
    assert state(pipe) == state(relay())
    assert torch.equal(pipe(), expected)
