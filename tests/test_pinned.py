"""Every local checkpoint that a request names is pinned by a fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.checkpoint.address import demo_folder
from autopipe.errors import ArgumentError
from autopipe.registry import default_registry
from autopipe_requests.completing import Completion


def copied(name: str, folder: Path) -> Path:
    """Return a copy of a demo."""
    return Path(shutil.copytree(demo_folder(name, default_registry()), folder / name))


def change(folder: Path) -> None:
    """Change the last byte of a file of weights."""
    file = next(iter(sorted(folder.rglob("*.safetensors"))))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def asked(kind: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """Return a request that names a local checkpoint, and its folder."""
    PIL.Image.new("RGB", (64, 64)).save(folder / "edges.png")
    given: dict[str, Any] = {"prompt": "a star", "seed": 1, "model": "demo:stable_diffusion"}
    if kind == "model":
        mine = copied("stable_diffusion", folder)
        return {**given, "model": str(mine)}, mine
    if kind == "condition":
        mine = copied("controlnet", folder)
        return {
            **given,
            "controlnet": str(mine),
            "control_image": str(folder / "edges.png"),
        }, mine
    mine = copied("stable_diffusion", folder)
    return {**given, "upscale": [{"model": str(mine), "steps": 2}]}, mine


@pytest.mark.parametrize("kind", ["model", "condition", "upscale"])
def test_other_weights_are_another_request(kind: str, tmp_path: Path) -> None:
    given, folder = asked(kind, tmp_path)
    first = Completion().complete(given)
    assert Completion().complete(given).id == first.id
    dump = first.model_dump(exclude_defaults=True)
    assert Completion().complete(dump).id == first.id
    change(folder)
    assert Completion().complete(given).id != first.id
    with pytest.raises(ArgumentError, match="has changed: its fingerprint is"):
        Completion().complete(dump)


@pytest.mark.parametrize("kind", ["model", "condition", "upscale"])
def test_the_same_weights_elsewhere_are_the_same_request(kind: str, tmp_path: Path) -> None:
    ids = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        given, _ = asked(kind, tmp_path / name)
        ids.add(Completion().complete(given).id)
    assert len(ids) == 1
