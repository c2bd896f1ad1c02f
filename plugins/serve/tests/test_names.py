"""What clients may name, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.errors import ArgumentError, AutopipeError, ImageFileError
from autopipe.registry import default_registry
from autopipe_serve.loras import lora_path, loras_in
from autopipe_serve.names import Names
from autopipe_serve.settings import Settings
from autopipe_serve.studio import Studio

DEMO = "demo:stable_diffusion"


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    (folder / "style.safetensors").write_bytes(b"x" * 10)
    (folder / "notes.txt").write_bytes(b"")
    (tmp_path / "outside.safetensors").write_bytes(b"")
    (folder / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    (folder / "same.safetensors").symlink_to(folder / "style.safetensors")
    (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    (folder / "folder.safetensors").mkdir()
    os.mkfifo(folder / "pipe.safetensors")
    return folder


def names(tmp_path: Path, loras: Path | None = None) -> Names:
    models = {"first": DEMO, "other": "/models/other", "net": "demo:controlnet"}
    return Names(Settings(folder=tmp_path, models=models, loras=loras), default_registry())


def test_adapters_are_files_of_the_folder(loras: Path) -> None:
    assert [one.name for one in loras_in(loras)] == ["same", "style"]
    assert [(one.size, dict(one.metadata)) for one in loras_in(loras)] == [(10, {})] * 2
    assert loras_in(None) == ()
    for name in ("style", "style.safetensors"):
        assert lora_path(name, loras) == loras / "style.safetensors"


HOSTILE = [
    "../outside.safetensors",
    "../outside",
    "/etc/passwd",
    "./style.safetensors",
    "style.safetensors/",
    "notes.txt",
    "link",
    "loop",
    "folder",
    "pipe",
    "~/style",
    "style\0",
    "",
    ".",
    "..",
    "*",
    "owner/repository",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_adapters_outside_the_folder_are_refused(loras: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match="there is no adapter"):
        lora_path(name, loras)
    for given in ({"lora": name or ":1"}, {"addons": [{"addon": "lora", "source": name}]}):
        with pytest.raises(ArgumentError, match="there is no adapter"):
            names(tmp_path, loras).replaced(given, "first")


def test_names_become_paths(loras: Path, tmp_path: Path) -> None:
    style = str(loras / "style.safetensors")
    found = names(tmp_path, loras).replaced(
        {
            "model": "other",
            "lora": ["style:0.5", "style"],
            "attach": "lora=style:-1",
            "addons": [{"addon": "freeu"}],
            "controlnet": "net",
            "upscale": "other",
            "prior": "other",
        },
        "first",
    )
    assert found == {
        "model": "/models/other",
        "addons": [
            {"addon": "freeu"},
            {"addon": "lora", "source": style, "strength": -1.0},
            {"addon": "lora", "source": style, "strength": 0.5},
            {"addon": "lora", "source": style, "strength": 1.0},
        ],
        "conditions": {"controlnet": "demo:controlnet"},
        "upscale": [{"model": "/models/other"}],
        "prior": "/models/other",
    }
    assert names(tmp_path).replaced({}, "first") == {"model": DEMO}


@pytest.mark.parametrize(
    "given",
    [
        {"model": "/etc"},
        {"model": "/models/other"},
        {"model": {"name": "first", "config": "/etc"}},
        {"model": 3},
        {"model": ["first"]},
        {"checkpoint": {"name": "owner/repository"}},
        {"controlnet": "owner/repository"},
        {"conditions": {"controlnet": {"name": "/etc"}}},
        {"conditions": "controlnet"},
        {"stages": {"prior": "/etc"}},
        {"prior": "/etc"},
        {"upscale": "/etc"},
        {"upscale": {"model": "/etc"}},
        {"upscale": {"model": "first", "config": "/etc"}},
        {"upscale": {"size": "8x8"}},
        {"config": "/etc"},
        {"revision": "main"},
        {"dtype": "float64"},
        {"engine": "compile"},
        {"addons": ["lora"]},
        {"addons": [{"addon": "ip_adapter", "source": "owner/repository"}]},
        {"attach": "lora=/etc/passwd"},
        {"ip-adapter": "owner/repository:0.5"},
        {"embedding": {"source": "/etc/passwd"}},
    ],
)
def test_other_names_are_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        names(tmp_path).replaced(given, "first")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio(Settings(folder=tmp_path_factory.mktemp("results"))) as made:
        yield made


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    PIL.Image.new("RGB", (64, 64)).save(folder / "image.png")
    PIL.Image.new("RGB", (64, 64)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    return folder


def test_uploads_are_found(studio: Studio, uploads: Path) -> None:
    given = {"prompt": "a cat", "image": "image.png"}
    for image in ("image.png", {"file": "image.png"}, str(uploads / "image.png")):
        request = studio.complete({**given, "image": image}, uploads)
        assert request.arguments["image"]["file"] == str(uploads / "image.png")
        assert request.task == "image2image"


@pytest.mark.parametrize(
    "image", ["../outside.png", "link.png", "/etc/passwd", "~/x.png", "a\0b", ".", "absent.png"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_other_files_are_refused(studio: Studio, uploads: Path, image: str, whole: bool) -> None:
    given: Any = {"prompt": "a cat", "image": {"file": image} if whole else image}
    for folder in (uploads, None):
        with pytest.raises(ImageFileError, match="not one that was uploaded"):
            studio.complete(given, folder)
    hidden = {"prompt": "a cat", "task": "image2image", "arguments": {"image": {"file": image}}}
    with pytest.raises(AutopipeError):
        studio.complete(hidden, uploads)


@pytest.mark.parametrize("image", ["http://127.0.0.1/x.png", {"file": "https://[::1]/x.png"}])
def test_addresses_are_refused(studio: Studio, uploads: Path, image: Any) -> None:
    with pytest.raises(ArgumentError, match="is an address"):
        studio.complete({"prompt": "a cat", "image": image}, uploads)


def test_deep_nesting_is_refused(studio: Studio) -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(AutopipeError):
        studio.complete({"prompt": "a cat", "arguments": {"guidance_scale": deep}})
