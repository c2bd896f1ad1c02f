"""A server with a studio that draws by the demo."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from autopipe_serve.app import create_app
from autopipe_serve.settings import Settings

DEMO = "demo:stable_diffusion"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server that draws."""
    settings = Settings(folder=tmp_path_factory.mktemp("results"), models={"painter": DEMO})
    with TestClient(create_app(settings), base_url="http://localhost") as found:
        yield found


@pytest.fixture
def uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which temporary folders of uploads are."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
