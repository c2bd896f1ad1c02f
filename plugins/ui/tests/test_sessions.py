"""What the page keeps of tabs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from autopipe_ui.sessions import Session, Sessions


def test_a_tidy_session_has_what_is_in_view(tmp_path: Path) -> None:
    session = Session(tmp_path)
    files = [tmp_path / "one/a.png", tmp_path / "two/b.png"]
    canvases = [tmp_path / f"canvas-{number}.png" for number in range(4)]
    for file in (*files, *canvases):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"a")
    for file, background, layer in zip(files, canvases[::2], canvases[1::2]):
        value = {"background": str(background), "layers": [str(layer), None], "composite": None}
        session.canvases[str(file)] = value
    session.tidy({files[1]})
    assert {*tmp_path.rglob("*")} == {files[1].parent, files[1], *canvases[2:]}
    assert [*session.canvases] == [str(files[1])]
    session.tidy(())
    assert [*tmp_path.iterdir()] == []


def test_an_ended_session_leaves_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    folder = sessions.of("tab").folder
    assert sessions.of("tab").folder == folder
    assert sessions.of("other").folder != folder
    asyncio.run(sessions.end("tab"))
    assert not folder.exists()
    assert sessions.of("tab").folder != folder
