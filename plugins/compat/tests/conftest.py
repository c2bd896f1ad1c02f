"""The demo checkpoint in float32, which both libraries open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autopipe.pipeline.base import DiffusionPipeline

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "programs").glob("*.py"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion", torch_dtype=torch.float32)
    pipe.save_pretrained(folder)
    return folder


def run_programs(library: str, programs: Path, checkpoint: Path, folder: Path) -> Path:
    """Run the programs in a process with that library; their results are in the folder."""
    command = [sys.executable, HERE / "run_programs.py", library, programs, checkpoint, folder]
    # diffusers copies the code of custom pipelines there.
    variables = {**os.environ, "HF_MODULES_CACHE": str(folder / "modules")}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, env=variables)
    assert ended.returncode == 0, ended.stderr
    return folder
