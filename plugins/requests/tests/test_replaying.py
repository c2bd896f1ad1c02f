"""Results of any family are drawn again, with what others' tasks bring."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from support.records import settings_in

from autopipe.cli import main
from autopipe.errors import ArgumentError, ImageFileError
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe_requests.completing import Completion
from autopipe_requests.drawing import draw
from autopipe_requests.family import autopipe_family
from autopipe_requests.hashes import sha256_of
from autopipe_requests.opening import Pipelines
from autopipe_requests.pictures import save_image
from autopipe_requests.placement import Placement
from autopipe_requests.replaying import drafted, finder, read

SAME = "the same, to the last bit\n"


@pytest.fixture
def save(toys: Registry) -> Callable[..., str]:
    """Draw requests in one call, and write the results; return the name of the last."""

    def run(name: str, *several: dict[str, Any], **given: Any) -> str:
        common = {"model": "paint", "prompt": "a hut", "seed": 1, **given}
        requests = [Completion(toys).complete({**common, **one}) for one in several or ({},)]
        with Pipelines(Placement(device="cpu"), toys) as pipelines:
            drawn = draw(requests, pipelines)
        return [str(one.save(f"{i}-{name}")) for i, one in enumerate(drawn)][-1]

    return run


def check(name: str, *line: str, code: int = 0) -> None:
    assert main(["replay", name, "--check", "-q", "--device", "cpu", *line]) == code


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("a.png", {"steps": 5, "guidance": 3, "size": "16x8", "negative": "fog"}),
        ("a.jpg", {"scheduler": {"name": "Euler", "config": {"beta_end": 0.5}}}),
        ("a.webp", {"engine": "doubling"}),
        ("a.png", {"engine": {"net": "doubling"}}),
        ("a.png", {"attach": ["glow=half.txt:0.5", "glow"], "glow_by": 0.5}),
        ("a.png", {"attach": "glow", "arguments": {"adapters": {"glow": 0.1}}}),
        ("a.png", {"image": "photo.png", "strength": 1, "size": "4x4"}),
        ("a.png", {"frame": "frame", "frame_width": 1}),
        ("a.gif", {"model": "film", "num_frames": 4}),
        ("a.wav", {"model": "sing"}),
    ],
)
def test_it_is_the_same(name: str, given: dict[str, Any], save: Any, capsys: Any) -> None:
    check(save(name, **given))
    assert capsys.readouterr() == (SAME, "")


def test_each_result_of_one_call_is_the_same(save: Any, capsys: Any) -> None:
    save("a.png", *({"seed": seed} for seed in (5, 9, 7)))
    save("b.png", *({"prompt": prompt, "seed": 3} for prompt in "xyz"))
    for name in (f"{i}-{end}.png" for i in range(3) for end in "ab"):
        check(name)
        assert capsys.readouterr() == (SAME, "")


def test_a_new_file_is_written_beside_it(save: Any, capsys: Any) -> None:
    name = save("a.gif", model="film")
    assert main(["replay", name, "-q", "--device", "cpu"]) == 0
    assert capsys.readouterr() == ("0-a-replay.gif\n", SAME)
    assert settings_in("0-a-replay.gif") == settings_in(name)


def test_progress_and_the_checkpoint_are_told_unless_quiet(save: Any, capsys: Any) -> None:
    name = save("a.png")
    assert main(["replay", name, "--check", "--device", "cpu"]) == 0
    assert "Loading paint" in capsys.readouterr().err


def test_what_is_installed_no_more_is_a_sentence(
    save: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = save("a.wav", model="sing")
    own = Installed(Plugin("requests", "autopipe-requests", "1"), autopipe_family())
    monkeypatch.setattr("autopipe.registry._default", Registry([own]))
    check(name, code=2)
    assert "No installed package provides Sing" in capsys.readouterr().err


def test_files_are_found_by_name_alone(tmp_path: Path, toys: Registry) -> None:
    Path("one").mkdir()
    Path("two").mkdir()
    shutil.copy("photo.png", "two/same.png")
    PIL.Image.new("RGB", (2, 2)).save("one/same.png")
    Path("one/folder.png").mkdir()
    find = finder([Path("one"), Path("two")])
    sha256 = sha256_of("photo.png")
    assert find("/etc/same.png", sha256) == Path("two/same.png")
    assert find("../same.png", None) == find("same.png", "0") == Path("one/same.png")
    for name in ("photo.png", "", ".", "..", "/", "folder.png", "a\0b", "x" * 5000, "~", "\ud800"):
        with pytest.raises(ImageFileError, match="isn't in the given folders"):
            find(name, None)


def theirs(text: str) -> str:
    save_image(PIL.Image.new("RGB", (8, 8)), Path("theirs.png"), {"parameters": text})
    return "theirs.png"


def test_names_of_others_are_looked_for_in_folders(toys: Registry) -> None:
    Path("models").mkdir()
    for name in ("ink.safetensors", "v1.5.safetensors", "v1.ckpt"):
        Path("models", name).touch()
    text = "a hut <lora:{}:0.5>\nSteps: 2, Seed: 1, CFG scale: 3, Model: {}, RNG: CPU"
    for lora, model, expected in (
        ("ink", "v1.5", "v1.5.safetensors"),
        ("ink.safetensors", "v1", "v1.ckpt"),
        ("sub/ink", r"sub\v1.ckpt", "v1.ckpt"),
    ):
        found = read(theirs(text.format(lora, model)), [Path("gone"), Path("models")], toys)
        assert found.given["model"] == str(Path("models", expected))
        assert found.given["addons"] == [
            {"addon": "lora", "source": str(Path("models/ink.safetensors")), "strength": 0.5}
        ]
        assert found.left == []
    found = read(theirs(text.format("..", "..")), [Path("models")], toys, model="paint")
    assert found.given["model"] == "paint"
    assert found.left == ["the LoRA '..', which isn't in the given folders"]
    for model in ("..", "v2", "/etc/passwd", "x" * 900):
        with pytest.raises(ArgumentError, match="give --model CHECKPOINT, or --folder"):
            read(theirs(text.format("a", model)), [Path("models")], toys)


def test_what_the_pipeline_does_not_take_is_left(toys: Registry) -> None:
    text = "a hut\nSteps: 2, Seed: 1, CFG scale: 3, Clip skip: 2, Denoising strength: 0.5, RNG: CPU"
    found = read(theirs(text), [], toys, model="paint")
    draft, left = drafted(found, Completion(toys))
    assert left == ["clip_skip, which Paint doesn't take"]
    assert "the strength, which is for an image to start from" in found.left
    assert Completion(toys).finished(draft).arguments == {
        "prompt": "a hut", "num_inference_steps": 2, "guidance_scale": 3,
    }  # fmt: skip
