"""`autopipe new`, found among the commands of the installed plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopipe.cli import main


def test_the_command_writes_it_and_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my-zoo", "--task", "inpaint"]) == 0
    assert (tmp_path / "autopipe-my-zoo/src/autopipe_my_zoo/inpaint.py").is_file()
    assert "pip install" in capsys.readouterr().out
    assert main(["new", "my-zoo"]) == 2
    assert "--to" in capsys.readouterr().err
    assert main(["new", "zoo", "--to", "elsewhere/zoo", "--task", "painting"]) == 2
    assert main(["new", "zoo", "--to", "elsewhere/zoo"]) == 0
    assert (tmp_path / "elsewhere/zoo/pyproject.toml").is_file()
