"""The options of `autopipe serve`."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from autopipe.cli import main
from autopipe.errors import ArgumentError
from autopipe_serve.command import (
    LIMITS,
    check_reach,
    declare,
    is_loopback,
    keys_in,
    models_in,
    settings_in,
)
from autopipe_serve.settings import Limits, Settings

KEY = "a-key-of-many-characters"


def parsed(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    declare(parser)
    return parser.parse_args(line)


def test_every_limit_has_an_option_that_tells_its_default(tmp_path: Path) -> None:
    fields = Limits.model_fields
    assert LIMITS.keys() == fields.keys()
    line = [text for name, one in LIMITS.items() for text in (f"--max-{name}", one[2])]
    told = settings_in(parsed(*line), {}, (), tmp_path)
    assert told.limits == Limits()
    assert settings_in(parsed(), {}, (), tmp_path).limits == Limits()


def test_the_defaults_are_those_of_the_settings(tmp_path: Path) -> None:
    found = settings_in(parsed(), {}, (), tmp_path)
    assert found == Settings(folder=tmp_path, hosts=("127.0.0.1",))


def test_options_become_settings(tmp_path: Path) -> None:
    line = (
        "--loras", str(tmp_path), "--memory", "2GiB", "--workers", "3", "--sharing",
        "--no-previews", "--host", "0.0.0.0", "--host-name", "a.example", "--host-name",
        "b.example", "--allow-addresses", "--log-prompts", "--device", "cpu", "--max-queue", "0",
        "--max-body", "1MiB", "--max-seconds", "1.5",
    )  # fmt: skip
    found = settings_in(parsed(*line), {"a": "b"}, (KEY,), tmp_path)
    assert (found.loras, found.memory, found.workers) == (tmp_path, 2 << 30, 3)
    assert (found.sharing, found.previews, found.placement.device) == (True, False, "cpu")
    assert found.hosts == ("a.example", "b.example")
    assert (found.allow_addresses, found.log_prompts, found.keys) == (True, True, (KEY,))
    limits = found.limits
    assert (limits.queue, limits.body, limits.seconds) == (0, 1 << 20, 1.5)


def test_models_are_called_as_the_operator_says_or_like_their_files(tmp_path: Path) -> None:
    folder, file = tmp_path / "painter", tmp_path / "old.safetensors"
    folder.mkdir()
    file.touch()
    given = [f"best={folder}", str(folder), str(file), "owner/name", "demo:stable_diffusion"]
    assert models_in(given) == {
        "best": str(folder),
        "painter": str(folder),
        "old": str(file),
        "owner/name": "owner/name",
        "demo:stable_diffusion": "demo:stable_diffusion",
    }
    assert next(iter(models_in(given))) == "best"
    with pytest.raises(ArgumentError, match="two models are called 'a'"):
        models_in(["a=x", "a=y"])
    for text in "=x", "x=", "=":
        with pytest.raises(ArgumentError, match="no name or no checkpoint"):
            models_in([text])


def test_keys_come_from_a_file_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"# of the team\n\n  {KEY}  \n{KEY}\n{KEY}-2\n")
    monkeypatch.delenv("AUTOPIPE_KEYS", raising=False)
    assert keys_in(None) == ()
    assert keys_in(str(file)) == (KEY, f"{KEY}-2")
    monkeypatch.setenv("AUTOPIPE_KEYS", f"{KEY}-3,{KEY}-4 {KEY}")
    assert keys_in(str(file)) == (f"{KEY}-3", f"{KEY}-4", KEY, f"{KEY}-2")


@pytest.mark.parametrize(
    "content", [b"", b"# none\n", b"short\n", b"\xff\xfe", b"a space and more in it\n"]
)
def test_files_without_good_keys(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOPIPE_KEYS", raising=False)
    file = tmp_path / "keys.txt"
    file.write_bytes(content)
    with pytest.raises(ArgumentError) as caught:
        keys_in(str(file))
    assert "short" not in str(caught.value)  # A key isn't shown.
    with pytest.raises(ArgumentError, match="can't be read"):
        keys_in(str(tmp_path))


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.5.5.5", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("pictures.example", False),
     ("", False)],
)  # fmt: skip
def test_other_machines_need_a_key(host: str, local: bool) -> None:
    assert is_loopback(host) is local
    check_reach(host, (KEY,), allowed=False)
    check_reach(host, (), allowed=True)
    if local:
        check_reach(host, (), allowed=False)
    else:
        with pytest.raises(ArgumentError, match="--key-file FILE, or --without-keys"):
            check_reach(host, (), allowed=False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--host", "0.0.0.0"), "has no keys"),
        (("--model", "a=x", "--model", "a=y"), "two models"),
        (("--model", "a=/nowhere/at/all"), "/nowhere/at/all"),
        (("--loras", "/nowhere/at/all"), "is not a folder"),
        (("--folder", "/proc/self"), "can't be written"),
        (("--folder", __file__), "can't be written"),
        (("--key-file", "/nowhere/at/all"), "can't be read"),
    ],
)
def test_mistakes_are_told_before_anything_is_served(
    line: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("AUTOPIPE_KEYS", raising=False)
    assert main(["serve", "--port", "0", *line]) != 0
    captured = capsys.readouterr()
    assert said in captured.err
    assert "serving" not in captured.out
