"""Tests of `--parity`: only with it, a missing reference is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent
COMPARISON = """
import pytest

pytestmark = pytest.mark.parity
{}

def test_of_it() -> None:
    {}
"""


def run(folder: Path, body: str, *options: str, top: str = "") -> subprocess.CompletedProcess[str]:
    """Run pytest on one module of comparisons in `folder`."""
    (folder / "test_compared.py").write_text(COMPARISON.format(top, body), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  parity\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.comparing", *options, str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(SUPPORT)]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A folder in which a run finds a reference."""
    (tmp_path / "diffusers.py").touch()
    return tmp_path


def test_a_reference_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "diffusers.py").write_text("raise ImportError('a broken install')")
    done = run(tmp_path, "pass", "--parity")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--parity compares with diffusers: a broken install" in done.stderr
    skipped = run(tmp_path, "pass", top="pytest.importorskip('diffusers', exc_type=ImportError)")
    assert "1 skipped" in skipped.stdout


def test_a_module_that_skips_itself_is_an_error(reference: Path) -> None:
    skips = "pytest.importorskip('diffusers.image_processor')"
    done = run(reference, "pass", "--parity", top=skips)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "No module named 'diffusers.image_processor'" in done.stdout
    assert "1 skipped" in run(reference, "pass", top=skips).stdout


def test_a_test_that_skips_itself_for_an_import_has_failed(reference: Path) -> None:
    done = run(reference, "pytest.importorskip('bs5', reason='no captions')", "--parity")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "No module named 'bs5'" in done.stdout


def test_what_does_not_apply_may_be_skipped(reference: Path) -> None:
    done = run(reference, "pytest.skip('only inpainting has a mask')", "--parity")
    assert done.returncode == pytest.ExitCode.OK
    assert "1 skipped" in done.stdout


def test_only_what_is_compared_runs(reference: Path) -> None:
    (reference / "test_other.py").write_text("def test_of_ours() -> None:\n    raise OSError\n")
    assert "1 passed, 1 deselected" in run(reference, "pass", "--parity").stdout


def test_that_nothing_is_compared_is_an_error(reference: Path) -> None:
    done = run(reference, "pass", "--parity", "-k", "nothing")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
