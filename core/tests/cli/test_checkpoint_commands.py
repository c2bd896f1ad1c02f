"""`resolve` and `inspect` on small checkpoints written byte by byte, without a tensor library."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from autopipe.cli import inspect, main, resolve
from autopipe.cli.inspect import number
from autopipe.manifest import Component, Family, Pipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Task

FAMILY = Family(
    "zoo",
    pipelines=tuple(
        Pipeline(f"Zoo{t.name.title()}", f"zoo.{t.value}:Zoo{t.name.title()}", t, "zoo")
        for t in (Task.TEXT2IMAGE, Task.INPAINT)
    ),
    components=(
        Component("Net", "zoo.net:Net"),
        Component("Steps", "zoo.steps:Steps", kind="scheduler"),
    ),
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry([Installed(Plugin("zoo", "autopipe-zoo", "1.5"), FAMILY)])
    for module in (inspect, resolve):
        monkeypatch.setattr(module, "default_registry", lambda: registry)
    monkeypatch.setenv("COLUMNS", "80")


def safetensors(file: Path, dtype: str = "F32", cut: int = 0, **shapes: tuple[int, int]) -> int:
    """Write zeros of these shapes; returns the file's bytes."""
    item = {"F32": 4, "F16": 2}[dtype]
    header: dict[str, Any] = {}
    end = 0
    for name, (rows, columns) in shapes.items():
        offsets = [end, end + rows * columns * item]
        header[name] = {"dtype": dtype, "shape": [rows, columns], "data_offsets": offsets}
        end = offsets[1]
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(end)
    file.write_bytes(content[: len(content) - cut])
    return len(content) - cut


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    index = {
        "_class_name": "ZooText2Image",
        "net": ["diffusers", "Net"],
        "steps": ["diffusers", "Steps"],
        "guard": [None, None],
        "loud": True,
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for name in ("net", "steps"):
        (tmp_path / name).mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    (tmp_path / "steps" / "scheduler_config.json").write_text("{}")
    safetensors(tmp_path / "net" / "diffusion_pytorch_model.safetensors", a=(10, 20), b=(3, 1))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *line: str, code: int = 0) -> str:
    assert main(list(line)) == code
    text = capsys.readouterr().out
    if "--json" not in line:
        assert max(map(len, text.splitlines())) <= 80
    return text


def test_resolve_without_a_task_takes_the_class_as_saved(checkpoint: Path, capsys) -> None:
    found = json.loads(printed(capsys, "resolve", str(checkpoint), "--json"))
    assert found["class"] == "ZooText2Image"
    assert found["task"] == "text2image"
    assert (found["package"], found["version"]) == ("autopipe-zoo", "1.5")


def test_resolve_with_a_task_moves_along_the_row(checkpoint: Path, capsys) -> None:
    text = printed(capsys, "resolve", str(checkpoint), "--task", "inpainting")
    for word in ("ZooInpaint", "zoo.inpaint:ZooInpaint", "autopipe-zoo", "ZooText2Image is in"):
        assert word in text


def test_the_commit_of_a_cached_repository_is_told(checkpoint: Path, capsys) -> None:
    snapshot = checkpoint.parent / "models--a--b" / "snapshots" / "c0ffee"
    snapshot.parent.mkdir(parents=True)
    checkpoint.rename(snapshot)
    for command in ("resolve", "inspect"):
        assert json.loads(printed(capsys, command, str(snapshot), "--json"))["commit"] == "c0ffee"


def test_resolve_says_why_there_is_no_class(checkpoint: Path, capsys) -> None:
    assert main(["resolve", str(checkpoint), "--task", "image2image"]) == 2
    assert "Available: ZooInpaint (inpaint), ZooText2Image (text2image)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["resolve", "inspect"])
def test_what_is_no_checkpoint_is_an_error_in_words(command: str, tmp_path: Path, capsys) -> None:
    assert main([command, str(tmp_path)]) == 2
    assert "model_index.json" in capsys.readouterr().err
    assert main([command, str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_inspect_measures_without_reading_weights(checkpoint: Path, capsys) -> None:
    told = json.loads(printed(capsys, "inspect", str(checkpoint), "--json"))
    assert told["tasks"] == ["text2image", "inpaint"]
    assert told["options"] == {"loud": True}
    parts = {part["name"]: part for part in told["components"]}
    net = parts["net"]
    assert (net["parameters"], net["dtype"], net["format"]) == (203, "float32", "safetensors")
    file = checkpoint / "net" / "diffusion_pytorch_model.safetensors"
    assert net["bytes"] == file.stat().st_size
    assert [f["path"] for f in net["weights"]] == [f"net/{file.name}"]
    assert parts["guard"]["class"] is None
    assert parts["steps"]["weights"] == []
    text = printed(capsys, "inspect", str(checkpoint))
    for word in ("Net", "203", "float32", "autopipe-zoo", "loud=true", f"net/{file.name}"):
        assert word in text


def test_inspect_tells_the_memory_before_anything_is_loaded(
    checkpoint: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`net` has 203 numbers in two tensors of one layer, and `text` 60 in two layers."""
    add = json.loads((checkpoint / "model_index.json").read_text())
    add["text"] = ["transformers", "T5EncoderModel"]
    (checkpoint / "model_index.json").write_text(json.dumps(add))
    (checkpoint / "text").mkdir()
    (checkpoint / "text" / "config.json").write_text("{}")
    shapes = {"a.weight": (4, 10), "b.weight": (2, 10)}
    safetensors(checkpoint / "text" / "model.safetensors", "F16", **shapes)
    monkeypatch.setattr(inspect, "main_memory", lambda: 1000)
    told = json.loads(printed(capsys, "inspect", str(checkpoint), "--json"))
    assert told["main_memory"] == 1000
    stored, half = told["memory"]["auto"], told["memory"]["float16"]
    assert stored == {
        "loading": 0,
        "resident": 203 * 4 + 60 * 2,
        "model_offload": 203 * 4,
        "largest": "net",
        "sequential_offload": 203 * 4,
        "largest_layer_of": "net",
    }
    assert (half["loading"], half["resident"]) == (203 * 2, 263 * 2)
    assert told["memory"]["float32"]["loading"] == 60 * 4
    assert told["memory"]["bfloat16"]["loading"] == 263 * 2
    assert told["memory"]["bfloat16"]["sequential_offload"] == 203 * 2
    text = printed(capsys, "inspect", str(checkpoint))
    for word in ("dtype='bfloat16'", "in their files", "406 B (net)", "1.05 KB"):
        assert word in text
    assert "Too much" not in text
    monkeypatch.setattr(inspect, "main_memory", lambda: 500)
    text = " ".join(printed(capsys, "inspect", str(checkpoint)).split())
    assert "Too much for the 500 B of main memory here: bfloat16." in text


@pytest.mark.parametrize("how", ["config", "names"])
def test_inspect_names_what_is_quantized(checkpoint: Path, how: str, capsys) -> None:
    if how == "config":
        config = {"quantization_config": {"quant_method": "bitsandbytes"}}
        (checkpoint / "net" / "config.json").write_text(json.dumps(config))
    else:
        file = checkpoint / "net" / "diffusion_pytorch_model.safetensors"
        safetensors(file, **{"a.weight.absmax": (1, 1)})
    text = " ".join(printed(capsys, "inspect", str(checkpoint), code=1).split())
    assert "has quantized weights" in text
    assert "bitsandbytes" in text
    assert "WEIGHTS WITH" not in text


def test_inspect_lists_variants(checkpoint: Path, capsys) -> None:
    file = checkpoint / "net" / "diffusion_pytorch_model.fp16.safetensors"
    safetensors(file, "F16", a=(10, 20), b=(3, 1))
    told = json.loads(printed(capsys, "inspect", str(checkpoint), "--json"))
    net = next(part for part in told["components"] if part["name"] == "net")
    assert set(net["variants"]) == {None, "fp16"}
    assert (net["variant"], net["dtype"]) == (None, "float32")
    (checkpoint / "net" / "diffusion_pytorch_model.safetensors").unlink()
    told = json.loads(printed(capsys, "inspect", str(checkpoint), "--json"))
    net = next(part for part in told["components"] if part["name"] == "net")
    assert (net["variant"], net["dtype"]) == ("fp16", "float16")


def test_inspect_finds_damage_and_goes_on(checkpoint: Path, capsys) -> None:
    file = checkpoint / "net" / "diffusion_pytorch_model.safetensors"
    size = safetensors(file, a=(10, 20), cut=7)
    text = printed(capsys, "inspect", str(checkpoint), code=1)
    assert f"{size:,}" in text
    assert "7 are missing" in " ".join(text.split())
    assert "Steps" in text


def test_inspect_finds_missing_weights_and_folders(checkpoint: Path, capsys) -> None:
    (checkpoint / "net" / "diffusion_pytorch_model.safetensors").unlink()
    (checkpoint / "steps" / "scheduler_config.json").unlink()
    told = json.loads(printed(capsys, "inspect", str(checkpoint), "--json", code=1))
    assert {p["name"] for p in told["components"] if p["problem"]} == {"net", "steps"}


def test_inspect_shows_a_checkpoint_whose_family_is_not_installed(checkpoint, capsys) -> None:
    index = {"_class_name": "IFPipeline", "net": ["diffusers", "Net"]}
    (checkpoint / "model_index.json").write_text(json.dumps(index))
    text = printed(capsys, "inspect", str(checkpoint))
    assert "pip install autopipe-deepfloyd-if" in " ".join(text.split())
    assert "203" in text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (4560, "4.56 K"), (859_520_964, "860 M")]
)
def test_numbers_are_short(count: int, text: str) -> None:
    assert number(count) == text
