"""`autopipe show`: what is printed about pictures of ours and of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.cli import main
from autopipe_requests.pictures import save_image
from autopipe_requests.record import Circumstances, Record
from autopipe_requests.request import Checkpoint, Request

PARAMETERS = (
    "a hut (wide:1.2)\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, Seed: 5, Size: 64x32, "
    "Model: dreams, ADetailer model: f.pt"
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def picture(name: str, format: str = "PNG", **texts: str) -> str:
    save_image(PIL.Image.new("RGB", (8, 8)), Path(name), texts, format)
    return name


def record(prompt: str = "a red circle") -> str:
    request = Request(seed=7, checkpoint=Checkpoint(name="demo:toys"), arguments={"prompt": prompt})
    drawn = Circumstances(
        pipeline="Toys", device="cpu", processor="one", versions={"autopipe-core": "1.2.3"}
    )
    return Record(id=request.id, request=request, drawn=drawn).text()


def shown(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str, str]:
    code = main(["show", *line])
    out, err = capsys.readouterr()
    assert "--json" in line or all(len(one) <= 80 for one in out.splitlines())
    return code, out, err


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_settings_of_ours_are_shown(format: str, capsys: Any) -> None:
    prompt = "a red circle \x1b[31m" + "and more " * 30
    file = picture("a", format, autopipe=record(prompt), parameters=PARAMETERS)
    code, out, err = shown(capsys, file)
    assert (code, err) == (0, "")
    assert "program        autopipe 1.2.3\n" in out
    assert "seed           7\n" in out
    assert "\\x1b[31m" in out
    assert out.count("and more") == 30
    assert "dreams" not in out


def test_settings_of_other_programs_are_shown_with_what_is_left(capsys: Any) -> None:
    code, out, _ = shown(capsys, picture("a.png", parameters=PARAMETERS))
    assert code == 0
    lines = out.splitlines()
    assert "program              AUTOMATIC1111's web UI" in lines
    assert "size                 64x32" in lines
    assert "model                dreams" in lines
    assert "scheduler            EulerAncestralDiscreteScheduler" in lines
    assert "- ADetailer's repainting of details" in lines
    assert lines.index("Not taken over:") < lines.index("Not reproduced:")
    assert "- its noise was drawn on a GPU" in lines


def test_json_has_every_file_and_text(capsys: Any) -> None:
    files = [
        picture("a.png", autopipe=record("two\nlines")),
        picture("b.png", parameters=PARAMETERS),
        picture("c.png", title="none"),
    ]
    code, out, _ = shown(capsys, *files, "--json")
    ours, foreign, none = json.loads(out)
    assert code == 1
    assert ours["settings"]["prompt"] == "two\nlines"
    assert foreign["settings"]["num_inference_steps"] == 20
    assert foreign["left"] == ["ADetailer's repainting of details"]
    assert none["error"] == "c.png has no settings that are known here"


def test_a_picture_without_settings_is_told_in_a_sentence(capsys: Any) -> None:
    code, out, err = shown(capsys, picture("a.png"))
    assert (code, out) == (1, "")
    assert err == "autopipe: a.png has no settings that are known here\n"


def test_other_files_are_shown_when_one_is_broken(capsys: Any) -> None:
    Path("b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    changed = record().replace("red", "blue")
    files = [picture("a.png", parameters=PARAMETERS), "b.png", "c.png"]
    code, out, err = shown(capsys, *files, picture("d.png", autopipe=changed))
    assert code == 2
    assert "file                 a.png" in out
    assert "'b.png' ends too early" in err
    assert "there is no file 'c.png'" in err
    assert "the record was changed after it was written" in err
    assert len(err.splitlines()) == 3
