"""Every option of every command refuses invalid values before weights are read.

The options come from the parser, so they include those of new commands and plugins.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from autopipe.cli import main
from autopipe.cli.parser import build, commands
from autopipe_requests.pictures import save_image

DEMO = "demo:stable_diffusion"
LINES = {
    "generate": ["a cat", "--model", DEMO, "-q"],
    "resolve": [DEMO],
    "inspect": [DEMO, "--headers"],
    "download": [DEMO, "--dry-run"],
    "convert": [DEMO, "--output", "folder"],
    "new": ["newfamily"],
    "check": ["stable_diffusion", "--only", "manifest"],
    "stubs": [],
    "engines": [],
    "lora": [DEMO],
    "schema": ["text2image"],
    "batch": ["jobs.txt", "-o", "drawn", "--dry-run"],
    "show": ["picture.png"],
    "replay": ["theirs.png", "--model", DEMO],
    "serve": ["--port", "0"],
    "ui": ["--port", "0"],
    # With an engine that isn't there, nothing is measured.
    "tune": [DEMO, "--engine", "none"],
}
"""The arguments of each command in addition to the option."""

VALUES = [
    "", "-1", "nan", "1e400", "9" * 5000, "True", "[]", "{", "a=b=c", "@.", "/dev/null/x",
    "x" * 300, "\ud83d", "\udcff", "\x1b]0;title\x07\u202e", "%s %d", "1\n2", "http://[::1",
]  # fmt: skip


class Accepted(BaseException):
    """Raised in place of reading the weights."""


def options(command: str) -> Iterator[str]:
    chooser = next(a for a in build([command])._actions if a.choices and command in a.choices)
    for action in chooser.choices[command]._actions:
        if action.option_strings and action.nargs != 0:
            yield action.option_strings[-1]


SHARED = {"batch": {*options("generate")}, "ui": {*options("serve")}}
"""One function declares and reads the options that two commands have."""

CASES = [
    (command, option)
    for command in commands()
    for option in options(command)
    if option not in SHARED.get(command, ())
]


@pytest.fixture(autouse=True)
def _prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(*args: object, **kwargs: object) -> None:
        raise Accepted

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("autopipe.checkpoint.load.read_weights", accept)
    monkeypatch.setattr("autopipe_serve.server.Server.run", accept)
    monkeypatch.setattr("autopipe_ui.running.serving", accept)
    PIL.Image.new("RGB", (64, 64)).save("picture.png")
    PIL.Image.new("L", (64, 64)).save("mask.png")
    text = "a hut\nSteps: 1, CFG scale: 2, Seed: 1, Size: 64x64, RNG: CPU"
    save_image(PIL.Image.new("RGB", (64, 64)), Path("theirs.png"), {"parameters": text})
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Path("text.png").write_text("no picture")
    Path("folder.png").mkdir()
    Path("jobs.txt").write_text("a cat")


def outcome(line: list[str]) -> int | None:
    """Run a command; return its exit code, or None if it accepted its arguments."""
    try:
        return main(line)
    except Accepted:
        return None


@pytest.mark.parametrize(("command", "option"), CASES)
def test_a_bad_value_is_a_sentence_or_is_taken(command: str, option: str, capsys) -> None:
    assert command in LINES, "say in LINES how the command is called"
    for value in VALUES:
        code = outcome([command, *LINES[command], f"{option}={value}"])
        assert code in (None, 0, 1, 2), value
        printed = capsys.readouterr()
        for text in (printed.out, printed.err):
            text.encode("utf-8")
            assert not {"\x1b", "\x07", "\u202e"} & set(text), value
        assert len(printed.err) < 8000, value
        assert "Traceback" not in printed.err, value
        if code == 2:
            assert printed.err.startswith("autopipe: "), value


@pytest.mark.parametrize("command", LINES)
def test_a_bad_positional_is_a_sentence(command: str, capsys) -> None:
    for value in VALUES:
        if not value.startswith("-"):
            code = outcome([command, value, *LINES[command][1:]])
            assert code in (None, 0, 1, 2), value
            assert "Traceback" not in capsys.readouterr().err, value


REFUSED = [
    "--size=63", "--size=0", "--size=64x", "--size=64x63", "--size=99999999999",
    "--steps=0", "--steps=1.5", "--steps=nan", "--steps=-1", "--steps=",
    "--guidance=nan", "--guidance=inf", "--guidance=x",
    "--seed=-1", "--seed=1.0", "--seed=18446744073709551616",
    "--num-images=0", "--num-images=x",
    "--strength=0.5", "--image=picture.png --strength=1.1", "--image=picture.png --strength=nan",
    "--image=picture.png --strength=0.01 --steps=5",
    "--device=cuda:99", "--device=tpu-of-nobody", "--dtype=float99", "--variant=none",
    "--memory=x", "--memory=-1", "--offload-folder=x",
    "--scheduler=DPX++", "--scheduler=Eulerian", "--scheduler=none",
    "--engine=none", "--engine=nothing=compile", "--attach=none",
    "--image=none.png", "--image=broken.png", "--image=text.png", "--image=folder.png",
    "--image=" + "x" * 5000, "--image=http://127.0.0.1:9/none.png",
    "--mask=mask.png", "--image=picture.png --mask=none.png", "--image=picture.png --mask=text.png",
    "--set=clip_skip=99", "--set=clip_skip=x", "--set=none=1", "--set=latents=@none",
    "--output=picture.png/x.png", "--output=a.tiff", "--output=/proc/x.png",
    "--output=" + "x" * 300 + ".png", "--output=" + "x" * 250 + ".png --num-images=2",
    "--upscale=none", "--upscale=demo:none", "--model=none", "--task=none", "--task=inpaint",
    "--set=num_inference_steps=0", "--set=guidance_rescale=7",
]  # fmt: skip


@pytest.mark.parametrize("line", REFUSED, ids=lambda line: line[:40])
def test_it_is_refused_before_weights_are_read(line: str, capsys) -> None:
    before = sorted(Path().iterdir())
    assert outcome(["generate", *LINES["generate"], *line.replace(" --", "\n--").split("\n")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("autopipe: ")
    assert "Traceback" not in printed.err
    assert sorted(Path().iterdir()) == before


def test_what_is_right_is_taken(capsys) -> None:
    for line in (
        [], ["--size=64"], ["--image=picture.png", "--strength=0.5"], ["--scheduler=DDIM"],
        ["--image=picture.png", "--mask=mask.png"], ["--set=clip_skip=1"], ["--engine=compile"],
        ["--output=" + "x" * 240 + ".png"], ["--num-images=2"], ["--set=eta=0.5"],
    ):  # fmt: skip
        assert outcome(["generate", *LINES["generate"], *line]) is None, (line, capsys.readouterr())
