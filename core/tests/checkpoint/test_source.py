from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from support.raised import each_error

from autopipe.checkpoint.address import demo_folder, open_source
from autopipe.checkpoint.source import HubOptions, LocalSource
from autopipe.errors import (
    ArgumentTypeError,
    AutopipeError,
    CheckpointError,
    PluginError,
    UnsafeCheckpointError,
)
from autopipe.manifest import Family, Reader
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin


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


def read_layout(file: Path, folder: Path) -> None:
    """A reader: what it writes is told by the file."""
    with safe_open(file, "pt") as content:
        names = set(content.keys())
    if "toy.fails" in names:
        raise KeyError("toy.fails")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Toy"}))


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> Registry:
    module = ModuleType("toy_reader")
    module.read_layout = read_layout  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_reader", module)
    reader = Reader("toy", ("toy.weight",), "toy_reader:read_layout")
    return Registry([Installed(Plugin("toy", "d-toy", "1"), Family("toy", readers=(reader,)))])


def write(file: Path, *names: str) -> Path:
    save_file({name: torch.zeros(1) for name in names}, file)
    return file


def test_a_single_file_is_what_its_reader_makes(tmp_path: Path, readers: Registry) -> None:
    file = write(tmp_path / "x.safetensors", "toy.weight", "more")
    source = open_source(file, HubOptions(), readers)
    assert source.json("model_index.json") == {"_class_name": "Toy"}
    assert (source.name, source.origin) == (str(file), str(file))
    folder = source.root
    assert folder.is_dir()
    del source
    gc.collect()
    assert not folder.exists()
    assert file.is_file()


@each_error
def test_whatever_a_reader_raises_names_it(
    error: BaseException, tmp_path: Path, readers: Registry, monkeypatch
) -> None:
    def fails(*given: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["toy_reader"], "read_layout", fails)
    file = write(tmp_path / "x.safetensors", "toy.weight")
    with pytest.raises(PluginError, match=f"'toy' failed .*{type(error).__name__}"):
        open_source(file, HubOptions(), readers)


def test_a_file_that_nobody_reads_is_refused(tmp_path: Path, readers: Registry) -> None:
    def refused(file: Path) -> str:
        with pytest.raises(AutopipeError) as caught:
            open_source(file, HubOptions(), readers)
        return str(caught.value)

    assert "no installed plugin knows its layout" in refused(write(tmp_path / "y.safetensors", "z"))
    assert "'toy' failed" in refused(write(tmp_path / "f.safetensors", "toy.weight", "toy.fails"))
    (tmp_path / "x.safetensors").write_text("x")
    assert "x.safetensors" in refused(tmp_path / "x.safetensors")
    (tmp_path / "x.ckpt").write_text("x")
    assert "x.ckpt is damaged" in refused(tmp_path / "x.ckpt")
    (tmp_path / "x.txt").write_text("x")
    assert "is a file; give the folder" in refused(tmp_path / "x.txt")


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


@pytest.mark.parametrize("path", [None, 5, b"x", ["x"], 1.5, object()])
def test_what_is_no_name_of_a_checkpoint(path: Any, demos: Registry) -> None:
    with pytest.raises(ArgumentTypeError, match="a path or a repository id"):
        open_source(path, HubOptions(), demos)


@pytest.mark.parametrize(
    "path",
    ["", "a\0b", "half \ud83d", "x" * 5000, "~nobody/x", "/x" * 3000, "\x1b[2J", ".", "a\nb/c"],
)
def test_odd_names_are_typed_and_shown_clean(path: str, demos: Registry, tmp_path: Path) -> None:
    for one in (path, Path(path)) if path not in ("", ".") else (path,):
        if one == ".":
            continue
        with pytest.raises(CheckpointError) as caught:
            open_source(one, HubOptions(), demos)
        assert len(str(caught.value)) < 500
        assert "\x1b" not in str(caught.value)


def test_what_a_folder_lists(tmp_path: Path) -> None:
    """Whatever stands under the name of a file, and what is no file has no size."""
    (tmp_path / "model_index.json").mkdir()
    (tmp_path / "unet").mkdir()
    (tmp_path / "absent.json").symlink_to("nowhere")
    (tmp_path / "itself").symlink_to("itself")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "x").write_text("four")
    (tmp_path / "link").symlink_to("x")
    assert LocalSource(tmp_path).files() == {
        "absent.json": -1,
        "itself": -1,
        "link": 4,
        "model_index.json": -1,
        "pipe.txt": -1,
        "x": 4,
    }
