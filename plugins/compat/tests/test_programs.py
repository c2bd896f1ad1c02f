"""Programs for diffusers, as others publish them, run unmodified under its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .conftest import HERE, PROGRAMS, run_programs


@pytest.fixture(scope="module")
def results(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_programs(
        "autopipe", HERE / "programs", checkpoint, tmp_path_factory.mktemp("results")
    )


@pytest.mark.parametrize("name", [one.stem for one in PROGRAMS])
def test_it_runs(results: Path, name: str) -> None:
    error = results / f"{name}.txt"
    assert not error.exists(), error.read_text()
    values = np.load(results / f"{name}.npz")
    assert values.files
    for key in values.files:
        array = values[key]
        if array.dtype.kind == "f":
            assert np.isfinite(array).all(), key
        if array.ndim == 4 and array.shape[-1] == 3:
            assert array.std() > 0.02, f"{key} is a picture of one colour"
