"""Listing and resolving import no heavy packages; each runs in a new interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "numpy", "scipy", "PIL", "transformers", "tokenizers", "accelerate", "safetensors",
    "diffusers", "pydantic", "huggingface_hub", "requests", "httpx",
)  # fmt: skip


def imported_by(code: str) -> list[str]:
    """Return the heavy packages that are in `sys.modules` after running `code`."""
    probe = f"{code}\nimport sys, json\nsys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stderr.splitlines()[-1])
    return [name for name in HEAVY if name in modules]


def command(*line: str) -> str:
    return f"from autopipe.cli import main\nassert main({list(line)!r}) == 0"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The folder of a checkpoint that contains only what resolving reads."""
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.parametrize(
    "code",
    [
        "import autopipe",
        "import autopipe.registry as r; assert r.families; r.problems; r.tasks",
        "import autopipe; assert 'UNet2DConditionModel' in dir(autopipe)",
        "from autopipe import registry; registry.resolve('StableDiffusionPipeline', 'inpaint')",
        "from autopipe import Family, Pipeline, Component, Task, hookimpl",
        command("--version"),
        command("generate", "--help"),
        command("families"),
        command("families", "--json"),
        command("doctor"),
    ],
)
def test_listing_is_light(code: str) -> None:
    assert imported_by(code) == []


@pytest.mark.parametrize(
    "line", [("resolve", "--task", "inpaint"), ("resolve", "--json"), ("inspect",)]
)
def test_looking_at_a_checkpoint_is_light(checkpoint: Path, line: tuple[str, ...]) -> None:
    assert imported_by(command(*line, str(checkpoint))) == []


def test_resolving_a_folder_in_python_is_light(checkpoint: Path) -> None:
    code = (
        "from autopipe.checkpoint.index import read_index\n"
        "from autopipe import registry\n"
        f"registry.resolve(read_index({str(checkpoint)!r}).class_name, 'inpaint')"
    )
    assert imported_by(code) == []


def test_the_probe_sees_what_is_heavy() -> None:
    assert "torch" in imported_by("from autopipe import DiffusionPipeline")
