from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autopipe.checkpoint.address import demo_folder, open_source
from autopipe.checkpoint.source import HubOptions, LocalSource
from autopipe.discovery import Installed, Plugin
from autopipe.errors import CheckpointError, PluginError, UnsafeCheckpointError
from autopipe.manifest import Family
from autopipe.registry import Registry


@pytest.fixture
def demos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    package = tmp_path / "packages" / "demo_package"
    (package / "demo").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "demo" / "model_index.json").write_text("{}")
    monkeypatch.syspath_prepend(package.parent)
    families = (
        Family("good", demo="demo_package:demo"),
        Family("bad", demo="demo_package:absent"),
        Family("none"),
    )
    return Registry([Installed(Plugin(f.name, f.name, "1"), f) for f in families])


def test_a_demo_is_found_without_importing_its_package(demos: Registry) -> None:
    source = open_source("demo:good", HubOptions(), demos)
    assert source.files() == {"model_index.json": 2}
    assert "demo_package" not in sys.modules


def test_absent_demos_are_explained(demos: Registry) -> None:
    with pytest.raises(CheckpointError, match=r"Did you mean 'good'.*demo:good"):
        demo_folder("goood", demos)
    with pytest.raises(CheckpointError, match="demo:none"):
        demo_folder("none", demos)
    with pytest.raises(PluginError, match="reinstall"):
        demo_folder("bad", demos)


def test_a_folder_goes_before_everything_else(
    tmp_path: Path, demos: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "demo:good").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("owner/name", "demo:good"):
        source = open_source(name, HubOptions(), demos)
        assert isinstance(source, LocalSource)
        assert source.root == Path(name)


@pytest.mark.parametrize("path", ["/absent", "./absent", "../absent", "a/b/c", "a b", Path("a")])
def test_what_can_be_no_repository_is_an_absent_folder(path: str | Path, demos: Registry) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        open_source(path, HubOptions(), demos)


def test_a_file_is_no_checkpoint(tmp_path: Path, demos: Registry) -> None:
    (tmp_path / "x.safetensors").write_text("x")
    with pytest.raises(CheckpointError, match="is a file"):
        open_source(tmp_path / "x.safetensors", HubOptions(), demos)


def test_fetching_checks_that_files_are_there_and_inside(tmp_path: Path) -> None:
    root = tmp_path / "checkpoint"
    root.mkdir()
    (root / "own").write_text("x")
    (tmp_path / "secret").write_text("x")
    (root / "far").symlink_to(tmp_path / "secret")
    source = LocalSource(root)
    assert source.fetch(["own"]) == root
    with pytest.raises(CheckpointError, match="absent"):
        source.fetch(["missing"])
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        source.fetch(["far"])
    assert source.files("own") == {}
