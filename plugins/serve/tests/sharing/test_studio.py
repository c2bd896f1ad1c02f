"""A studio shares forward passes if its operator says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from autopipe_serve.settings import Settings
from autopipe_serve.sharing.engine import Shared
from autopipe_serve.studio import Studio


@pytest.mark.parametrize("sharing", [True, False])
def test_the_requests_of_a_studio_share_passes_when_asked(
    sharing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Shared] = []
    before = Shared.__init__

    def init(self: Shared, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        before(self, *args, **kwargs)

    monkeypatch.setattr(Shared, "__init__", init)
    with Studio(Settings(folder=tmp_path, workers=3, sharing=sharing)) as studio:
        given = {"prompt": "a red circle", "steps": 20, "size": "64x64"}
        requests = [studio.complete({**given, "seed": seed}) for seed in range(3)]
        tickets = [studio.submit([request], "me") for request in requests]
        for ticket in tickets:
            asyncio.run(ticket.finished())
        assert [(ticket.state, ticket.error) for ticket in tickets] == [("done", None)] * 3
    assert len(made) == sharing
    if sharing:
        (engine,) = made
        assert engine.calls >= 60
        assert engine.passes < engine.calls
