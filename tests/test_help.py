"""The help of every command of the installed packages."""

from __future__ import annotations

import pytest

from autopipe.cli import main
from autopipe.cli.parser import build, commands


@pytest.mark.parametrize("name", [None, *commands()])
def test_help_fits_80_columns_and_explains_every_argument(name, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([name, "--help"] if name else ["--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "examples:" in text


def test_every_argument_of_every_command_is_explained() -> None:
    for name in commands():
        chooser = next(a for a in build([name])._actions if a.choices and name in a.choices)
        command = chooser.choices[name]
        assert len(command._actions) > 2, name
        for action in command._actions:
            assert action.help, (name, action.dest)
        takes_value = [a for a in command._actions if a.option_strings and a.nargs != 0]
        for action in takes_value:
            told = action.default is None or f"default: {action.default}" in action.help
            assert told, (name, action.dest)
