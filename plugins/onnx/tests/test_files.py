"""ONNX files of unknown origin are checked before the runtime opens them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from autopipe import DiffusionPipeline, OnnxRuntimeModel
from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.errors import CheckpointError, DamagedFileError, UnsafeCheckpointError


@pytest.fixture
def folder(saved: Any, tmp_path: Path) -> Path:
    """The folder of a decoder that a test may change."""
    return Path(shutil.copytree(saved("") / "vae_decoder", tmp_path / "vae_decoder"))


def changed(folder: Path, change: Callable[[Any], object]) -> None:
    model = onnx.load_model(folder / "model.onnx", load_external_data=False)
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def place(key: str, value: str) -> Callable[[Any], object]:
    """Sets an entry of where the first weight is."""

    def change(model: Any) -> None:
        entries = {one.key: one for one in model.graph.initializer[0].external_data}
        entries[key].value = value

    return change


def opened(folder: Path) -> Any:
    return OnnxRuntimeModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["../weights.pb", "/etc/passwd", "..", "", "a/b", "C:\\x"])
def test_weights_outside_the_folder_are_refused(folder: Path, name: str) -> None:
    (folder.parent / "weights.pb").write_bytes(bytes(1 << 20))
    changed(folder, place("location", name))
    with pytest.raises(UnsafeCheckpointError, match="not a plain name"):
        opened(folder)


def test_a_constant_inside_an_inner_graph_is_checked_too(folder: Path) -> None:
    outside = TensorProto(name="x", data_type=TensorProto.FLOAT, dims=[1])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../weights.pb")
    inner = helper.make_graph([helper.make_node("Constant", [], ["x"], value=outside)], "g", [], [])

    def change(model: Any) -> None:
        model.graph.node.append(
            helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        )

    changed(folder, change)
    with pytest.raises(UnsafeCheckpointError, match="not a plain name"):
        opened(folder)


def test_a_link_to_weights_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "weights.pb").rename(tmp_path / "elsewhere")
    (folder / "weights.pb").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        opened(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["model.onnx", "weights.pb"])
def test_a_pipe_is_refused_without_waiting(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError, match="pipe"):
        opened(folder)


def test_weights_that_are_too_short_are_refused(folder: Path) -> None:
    with (folder / "weights.pb").open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(DamagedFileError, match=r"has 100 bytes, but model\.onnx reads"):
        opened(folder)


def test_absent_weights_are_refused(folder: Path) -> None:
    (folder / "weights.pb").unlink()
    with pytest.raises(DamagedFileError, match=r"weights\.pb, which can't be read"):
        opened(folder)


@pytest.mark.parametrize(("key", "value"), [("offset", "-4096"), ("length", "many")])
def test_a_place_that_is_not_a_number_of_bytes_is_refused(
    folder: Path, key: str, value: str
) -> None:
    changed(folder, place(key, value))
    with pytest.raises(DamagedFileError, match="can't be"):
        opened(folder)


def test_a_shape_larger_than_the_file_is_refused(folder: Path) -> None:
    changed(folder, lambda model: model.graph.initializer[0].dims.append(1 << 40))
    with pytest.raises(DamagedFileError, match=r"bytes, but model\.onnx reads"):
        opened(folder)


def test_operators_of_others_are_refused(folder: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node.add(op_type="Run", domain="evil.example")

    changed(folder, change)
    with pytest.raises(UnsafeCheckpointError, match=r"operators of 'evil\.example'"):
        opened(folder)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"\xff" * 64])
def test_a_file_that_is_not_a_model_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(CheckpointError):
        opened(folder)


def test_a_model_that_the_runtime_refuses_is_named(folder: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node[0].op_type = "NoSuchOperator"

    changed(folder, change)
    with pytest.raises(CheckpointError, match="ONNX Runtime can't open"):
        opened(folder)


def test_a_checkpoint_is_checked_as_a_whole(saved: Any, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(saved(""), tmp_path / "checkpoint"))
    changed(checkpoint / "unet", place("location", "../vae_decoder/weights.pb"))
    with pytest.raises(UnsafeCheckpointError, match="not a plain name"):
        DiffusionPipeline.from_pretrained(checkpoint)


def test_a_plan_lists_the_files_of_the_networks(saved: Any) -> None:
    plan = Checkpoint.open(saved(""), {}).plan(DiffusionPipeline)
    paths = {item.path for item in plan.items}
    for name in ("unet", "text_encoder", "vae_encoder", "vae_decoder"):
        assert {f"{name}/model.onnx", f"{name}/weights.pb"} <= paths
