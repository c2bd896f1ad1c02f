"""Files that another program writes while they are loaded: never some of both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autopipe.checkpoint import load, source
from autopipe.checkpoint.formats import tensors
from autopipe.errors import AutopipeError, CheckpointError
from autopipe.pipeline.base import DiffusionPipeline

from .conftest import TinyNet, TinyPipeline, TinyScheduler, same

NET = "net/diffusion_pytorch_model.safetensors"
READ = [
    "model_index.json",
    "net/config.json",
    NET,
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "scheduler/scheduler_config.json",
]


def again(file: Path) -> None:
    """Put a new file with the same content in the place of `file`, as a save does."""
    shutil.copy2(file, file.with_name("new"))
    os.replace(file.with_name("new"), file)


def rewritten(file: Path) -> None:
    with file.open("r+b") as stream:
        start = stream.read(1)
        stream.seek(0)
        stream.write(start)
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 10**9))


def gone(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [again, rewritten, gone])
@pytest.mark.parametrize("path", READ)
def test_a_file_that_changes_after_it_was_read(
    saved: Path, path: str, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, lock = tensors._view, threading.Lock()
    done: list[int] = []

    def late(*arguments: Any) -> Any:
        with lock:
            if not done:
                change(saved / path)
            done.append(1)
        return true(*arguments)

    monkeypatch.setattr(tensors, "_view", late)
    for cls in (TinyPipeline, DiffusionPipeline):
        done.clear()
        if (saved / path).exists():
            with pytest.raises(CheckpointError, match="changed while its checkpoint was read"):
                cls.from_pretrained(saved, disable_mmap=True)
    monkeypatch.undo()


@pytest.mark.parametrize("path", ["model_index.json", "net/config.json"])
def test_a_file_that_a_save_moves_between_its_listing_and_its_opening(
    saved: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The save has ended, and the file is back, once it turns out to be absent."""
    true, absent = source.opened, [saved / path]

    def late(file: Path, *limits: Any) -> Any:
        if file in absent:
            absent.remove(file)
            raise FileNotFoundError(file)
        return true(file, *limits)

    monkeypatch.setattr(source, "opened", late)
    with pytest.raises(CheckpointError, match="changed while its checkpoint was read"):
        TinyPipeline.from_pretrained(saved)
    assert not absent
    assert isinstance(TinyPipeline.from_pretrained(saved), TinyPipeline)


def test_a_head_that_a_save_moves_while_its_folder_is_listed(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, absent = source._listed, ["model_index.json"]

    def late(folder: Path) -> Any:
        found = dict(true(folder))
        if absent:
            del found[absent.pop()]
        return found.items()

    monkeypatch.setattr(source, "_listed", late)
    with pytest.raises(CheckpointError, match="changed while its checkpoint was read"):
        TinyPipeline.from_pretrained(saved)
    assert isinstance(TinyPipeline.from_pretrained(saved), TinyPipeline)


def test_a_failure_that_comes_of_a_change_says_so(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config is that of the old network, and the weights are those of a new one."""
    true = load._load_network

    def late(*arguments: Any) -> Any:
        TinyNet(width=8).save_pretrained(saved / "net")
        return true(*arguments)

    monkeypatch.setattr(load, "_load_network", late)
    with pytest.raises(CheckpointError, match="changed while its checkpoint was read"):
        TinyNet.from_pretrained(saved, subfolder="net")


def test_a_folder_that_does_not_change_loads_however_its_times_are(saved: Path) -> None:
    for file in saved.rglob("*"):
        os.utime(file, (0, 0))
    assert isinstance(TinyPipeline.from_pretrained(saved), TinyPipeline)
    assert isinstance(TinyScheduler.from_pretrained(saved / "scheduler"), TinyScheduler)


def test_loads_beside_saves_are_of_one_of_them(
    saved: Path, pipe: TinyPipeline, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import itertools, random, shutil, time\n"
        "place = Path(sys.argv[1])\n"
        "for turn in itertools.count():\n"
        "    for other in sys.argv[2:]:\n"
        "        shutil.copytree(other, place.with_name('next'))\n"
        "        shutil.rmtree(place.with_name('old'), ignore_errors=True)\n"
        "        place.rename(place.with_name('old'))\n"
        "        place.with_name('next').rename(place)\n"
        "        time.sleep(random.random() / 3)\n"
    )
    other = tmp_path / "other"
    with torch.no_grad():
        for tensor in (*pipe.net.parameters(), *pipe.text_encoder.parameters()):
            tensor.fill_(1)
        pipe.save_pretrained(other)
        for tensor in (*pipe.net.parameters(), *pipe.text_encoder.parameters()):
            tensor.fill_(0)
        pipe.save_pretrained(saved)
    first = tmp_path / "first"
    shutil.copytree(saved, first)
    writer = subprocess.Popen([sys.executable, "-c", code, str(saved), str(other), str(first)])
    try:
        found = set()
        for _ in range(100):
            if len(found) == 2:
                break
            try:
                loaded = TinyPipeline.from_pretrained(saved, disable_mmap=True)
            except AutopipeError:
                continue
            nets = (loaded.net, loaded.text_encoder)
            found.add(tuple(float(next(iter(n.parameters())).detach().flatten()[0]) for n in nets))
    finally:
        writer.kill()
        writer.wait()
    assert found
    assert found <= {(0.0, 0.0), (1.0, 1.0)}


# Mapping


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_file_cut_between_its_header_and_the_map(
    tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    TinyNet().save_pretrained(tmp_path)
    true = tensors._map

    def late(*arguments: Any) -> Any:
        os.truncate(file, 99)
        return true(*arguments)

    monkeypatch.setattr(tensors, "_map", late)
    with pytest.raises(CheckpointError, match="changed while"):
        TinyNet.from_pretrained(tmp_path, torch_dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("error", [OSError(19, "No such device"), ValueError("x")])
def test_a_file_that_can_not_be_mapped_is_read(
    tmp_path: Path, dtype: torch.dtype, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise RuntimeError("unable to mmap") if dtype is torch.float32 else error

    net = TinyNet()
    net.save_pretrained(tmp_path)
    monkeypatch.setattr(tensors.mmap, "mmap", refuse)
    monkeypatch.setattr(torch.UntypedStorage, "from_file", refuse)
    loaded = TinyNet.from_pretrained(tmp_path, torch_dtype=dtype)
    assert torch.equal(loaded.layers[0].weight, net.layers[0].weight.to(dtype))


def test_addresses_that_are_rationed(tmp_path: Path) -> None:
    """The error is ours where neither mapping nor reading is possible."""
    state = {"a": torch.zeros(300_000_000, dtype=torch.uint8).view(torch.float32)}
    save_file(state, tmp_path / "x.safetensors")
    torch.save(state, tmp_path / "x.bin")
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from autopipe.checkpoint.formats.headers import read_header\n"
        "from autopipe.checkpoint.formats.tensors import read_pickled, read_safetensors\n"
        "from autopipe.errors import CheckpointError\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 150_000_000, -1))\n"
        "for file in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    for dtype in (torch.float32, torch.float16):\n"
        "        try:\n"
        "            if file.suffix == '.bin': read_pickled([file], lambda *names: dtype)\n"
        "            else: read_safetensors({file: read_header(file)}, lambda *names: dtype)\n"
        "        except CheckpointError as error:\n"
        "            print(file.name, str(file) in str(error))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    words = [*["x.bin", "True"] * 2, *["x.safetensors", "True"] * 2]
    assert done.stdout.split() == words, done.stderr


def test_what_is_mapped_does_not_hold_its_file_open(tmp_path: Path) -> None:
    TinyNet().save_pretrained(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    kept = [TinyNet.from_pretrained(tmp_path) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert same(kept[0].state_dict(), load_file(tmp_path / Path(NET).name))
