"""The program around the commands: exit codes, messages, help."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from importlib.metadata import entry_points

import pytest

import autopipe
from autopipe.cli import families, main
from autopipe.errors import CheckpointError
from autopipe.registry import Registry


def outcome(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    def fail(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(families, "run", fail)
    return main(["families", *arguments])


def test_an_error_of_ours_is_one_line_and_exit_code_2(monkeypatch, capsys) -> None:
    assert outcome(monkeypatch, CheckpointError("the file is gone")) == 2
    printed = capsys.readouterr()
    assert printed.err == "autopipe: the file is gone\n"
    assert printed.out == ""


@pytest.mark.parametrize("before", [True, False])
def test_traceback_shows_where_it_arose(monkeypatch, before: bool) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise CheckpointError("gone")

    monkeypatch.setattr(families, "run", fail)
    line = ["--traceback", "families"] if before else ["families", "--traceback"]
    with pytest.raises(CheckpointError):
        main(line)


def test_an_error_that_is_a_bug_keeps_its_traceback(monkeypatch) -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(monkeypatch, ZeroDivisionError())


def test_a_warning_is_a_line_without_its_place_in_the_code(monkeypatch, capsys) -> None:
    def warn(arguments: argparse.Namespace) -> int:
        warnings.warn("mind the gap", stacklevel=1)
        return 0

    monkeypatch.setattr(families, "run", warn)
    before = warnings.showwarning
    assert main(["families"]) == 0
    assert capsys.readouterr().err == "autopipe: mind the gap\n"
    assert warnings.showwarning is before


def test_control_c_is_exit_code_130_with_a_sentence(monkeypatch, capsys) -> None:
    assert outcome(monkeypatch, KeyboardInterrupt()) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["familes"], "Did you mean 'families'"),
        (["families", "--jsn"], "Did you mean '--json'"),
        (["families", "more"], "unrecognized argument 'more'"),
        (["resolve"], "CHECKPOINT"),
        ([], "COMMAND"),
    ],
)
def test_wrong_arguments_are_exit_code_2_with_a_hint(line, words, capsys) -> None:
    assert main(line) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "--help" in error


def test_the_version_is_that_of_the_package(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"autopipe {autopipe.__version__}\n"


def test_it_runs_as_a_module_and_is_installed_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autopipe", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"autopipe {autopipe.__version__}\n")
    assert any(e.load() is main for e in entry_points(group="console_scripts", name="autopipe"))


def test_a_reader_that_goes_away_leaves_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m autopipe families --json | true",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_a_command_of_a_package_that_is_not_installed_says_which(monkeypatch, capsys) -> None:
    monkeypatch.setattr("autopipe.cli.parser.default_registry", Registry)
    assert main(["new", "zoo"]) == 2
    error = capsys.readouterr().err
    assert "no command 'new'. It is in the package autopipe-devkit. Run: " in error
