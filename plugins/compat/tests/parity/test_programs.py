"""The same programs with diffusers and with autopipe give the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ..conftest import HERE, PROGRAMS, run_programs

pytest.importorskip("diffusers")
pytest.importorskip("compel")
pytest.importorskip("peft")
pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over a few steps."""

OF_PIXELS = 1 / 255 + 1e-6
"""Of images that were stored with 8 bits, whose rounding may go the other way."""

EIGHT_BITS = {("auto", "first"), ("auto", "fourth"), ("walk", "frames")}
EXACT = {"averages"}
"""Programs that compute no picture: every operation is the same one."""


@pytest.fixture(scope="module")
def results(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        library: _run(library, checkpoint, tmp_path_factory.mktemp(library))
        for library in ("autopipe", "diffusers")
    }


def _run(library: str, checkpoint: Path, folder: Path) -> Path:
    for programs in (HERE / "programs", HERE / "parity/programs"):
        run_programs(library, programs, checkpoint, folder)
    return folder


NAMES = [one.stem for one in (*PROGRAMS, *sorted((HERE / "parity/programs").glob("*.py")))]


@pytest.mark.parametrize("name", NAMES)
def test_both_libraries_agree(results: dict[str, Path], name: str) -> None:
    for folder in results.values():
        error = folder / f"{name}.txt"
        assert not error.exists(), error.read_text()
    ours, theirs = (np.load(results[one] / f"{name}.npz") for one in ("autopipe", "diffusers"))
    assert ours.files == theirs.files
    for key in ours.files:
        if ours[key].dtype.kind != "f" or name in EXACT:
            np.testing.assert_array_equal(ours[key], theirs[key], key)
        else:
            limit = OF_PIXELS if (name, key) in EIGHT_BITS else TOLERANCE
            np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=limit, err_msg=key)
