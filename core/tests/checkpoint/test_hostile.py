"""A corpus of hostile and damaged checkpoints. Each is refused by a typed error that names the
file and what to do; none of its code runs, and nothing outside it is opened."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import make_tokenizer
from transformers import CLIPImageProcessor, CLIPTokenizer

from autopipe.cli import main
from autopipe.errors import AutopipeError, UnsafeCheckpointError, UnsupportedCheckpointError
from autopipe.manifest import Component, Family, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of
from autopipe.tasks import Task

from .conftest import TinyNet, TinyScheduler, text_encoder

NET = "net/diffusion_pytorch_model"
TEXT = "text_encoder/model"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1402345\n"
POINTS_OUT = "out of the checkpoint"


class Full(DiffusionPipeline):
    """Every kind of component."""

    def __init__(
        self,
        net: TinyNet,
        text_encoder: Any,
        tokenizer: CLIPTokenizer,
        feature_extractor: CLIPImageProcessor,
        scheduler: TinyScheduler,
    ) -> None:
        self.register_modules(
            net=net,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            feature_extractor=feature_extractor,
            scheduler=scheduler,
        )


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    components = (
        Component("TinyNet", target_of(TinyNet)),
        Component("TinyScheduler", target_of(TinyScheduler), kind="scheduler"),
    )
    pipelines = (Pipeline("Full", target_of(Full), Task.TEXT2IMAGE, "tiny"),)
    family = Family("tiny", pipelines=pipelines, components=components)
    made = Registry([Installed(Plugin("tiny", "tiny-dist", "1"), family)])
    monkeypatch.setattr("autopipe.registry._default", made)
    return made


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "checkpoint"
    words = tmp_path_factory.mktemp("words")
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=8)
    family = Family(
        "tiny",
        components=(
            Component("TinyNet", target_of(TinyNet)),
            Component("TinyScheduler", target_of(TinyScheduler), kind="scheduler"),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        plugin = Installed(Plugin("tiny", "tiny-dist", "1"), family)
        patch.setattr("autopipe.registry._default", Registry([plugin]))
        tokenizer = make_tokenizer(words)
        encoder = text_encoder(vocab_size=len(tokenizer))
        pipe = Full(TinyNet(depth=2), encoder, tokenizer, processor, TinyScheduler())
        pipe.save_pretrained(folder, max_shard_size=60)
    assert (folder / SHARD).is_file()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(words / name, folder / "tokenizer" / name)
    return folder


@pytest.fixture
def checkpoint(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "checkpoint")
    (tmp_path / "secret").mkdir()
    for source in ("net/config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"):
        shutil.copy(good / source, tmp_path / "secret" / source.split("/")[1])
    return tmp_path / "checkpoint"


_watched: list[Path] = []
_seen: list[str] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if any(path.startswith(f"{place}{os.sep}") for place in _watched):
            _seen.append(f"open {path}")
    elif event in ("os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if any(f"{path}{os.sep}".startswith(f"{place}{os.sep}") for place in _watched):
            _seen.append(f"list {path}")
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"):
        _seen.append(event)


sys.addaudithook(_audit)


@contextmanager
def watching(folder: Path) -> Iterator[None]:
    """Inside, nothing beside `folder` is opened or listed, and no process or connection made."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _watched.append(folder.parent / "secret")
    try:
        yield
    finally:
        _watched.clear()
        seen, _seen[:] = list(_seen), []
    assert seen == []
    assert "hostile" not in sys.modules
    assert not (folder.parent / "secret" / "ran").exists()
    assert not Path("ran").exists()
    # Kilobytes. What is absurd would take many times this.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def edit(file: str, **entries: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, **entries}))

    return change


def write(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


def cut(file: str, by: int) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / file, (folder / file).stat().st_size - by)


def link(file: str, to: str) -> Callable[[Path], object]:
    """Replace `file`, a file or folder, by a link to what it was or to a new file."""

    def change(folder: Path) -> None:
        place, target = folder / file, folder.parent / "secret" / to
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            place.rename(target)
        elif not target.exists():
            target.write_text("{}")
        place.symlink_to(target)

    return change


def shard(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / f"{NET}.safetensors.index.json"
        content = json.loads(file.read_text())
        content["weight_map"]["seed"] = name
        file.write_text(json.dumps(content))

    return change


def both(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [change(folder) for change in changes]


def header(text: bytes, length: int | None = None, more: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + more


class Evil:
    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.ran),)


def pickled(stem: str, kind: str, also_safe: bool = False) -> Callable[[Path], object]:
    """Replace weights by a pickle that would make the folder `secret/ran`."""

    def change(folder: Path) -> None:
        place = (folder / stem).parent
        for file in place.glob("*.safetensors*"):
            if not also_safe:
                file.unlink()
        bad = {"x": Evil(folder.parent / "secret" / "ran")}
        file = place / f"{'pytorch_model' if stem == TEXT else Path(stem).name}.bin"
        if kind == "zip":
            torch.save(bad, file)
        elif kind == "legacy":
            torch.save(bad, file, _use_new_zipfile_serialization=False)
        else:
            file.write_bytes(pickle.dumps(bad))

    return change


def tensors(stem: str, make: Callable[[], dict[str, Any]]) -> Callable[[Path], object]:
    """Replace weights by a pickle of tensors."""

    def change(folder: Path) -> None:
        pickled(stem, "plain")(folder)
        torch.save(make(), next((folder / stem).parent.glob("*.bin")))

    return change


def zipped(folder: Path) -> None:
    """Make a .bin that is a zip archive of something else."""
    for file in (folder / "text_encoder").glob("*.safetensors*"):
        file.unlink()
    with zipfile.ZipFile(folder / "text_encoder" / "pytorch_model.bin", "w") as archive:
        archive.writestr("../../secret/evil", "x")


def code(folder: Path) -> None:
    for place in (folder, *(p for p in folder.iterdir() if p.is_dir())):
        for name in ("hostile.py", "__init__.py", "pipeline.py", "custom_model.py"):
            (place / name).write_text("import os, hostile; os.mkdir('ran')")


INDEX = "model_index.json"
TEXT_SHARD = f"{TEXT}-00001-of-00020.safetensors"
SHARD = f"{NET}-00001-of-00004.safetensors"

CORPUS: dict[str, tuple[Callable[[Path], object], str]] = {
    # Names
    "shard above": (shard("../../secret/x.safetensors"), "index.json names"),
    "shard absolute": (shard("/etc/x.safetensors"), "index.json names"),
    "shard of a subfolder": (shard("sub/x.safetensors"), "index.json names"),
    "shard with a backslash": (shard("..\\x.safetensors"), "index.json names"),
    "shard with a null": (shard("x\0.safetensors"), "index.json names"),
    "shard that is pickled": (shard("x.bin"), r"not a \.safetensors file"),
    "shard that is absent": (shard("x.safetensors"), "absent"),
    "shard that is a number": (shard(7), "index.json names"),  # type: ignore[arg-type]
    "shard that is a list": (shard(["x"]), "index.json names"),  # type: ignore[arg-type]
    "shard that is a link out": (link(SHARD, "x.safetensors"), POINTS_OUT),
    "component above": (edit(INDEX, **{"../secret": ["diffusers", "TinyNet"]}), "plain folder"),
    "component absolute": (edit(INDEX, **{"/etc": ["diffusers", "TinyNet"]}), "plain folder"),
    "component folder a link out": (link("net", "net"), POINTS_OUT),
    "config a link out": (link("net/config.json", "config.json"), POINTS_OUT),
    "index a link out": (link(INDEX, INDEX), POINTS_OUT),
    "scheduler a link out": (link("scheduler/scheduler_config.json", "s.json"), POINTS_OUT),
    "link to itself": (
        lambda f: ((f / SHARD).unlink(), (f / SHARD).symlink_to(Path(SHARD).name)),
        r"00001-of-00004",
    ),
    # Classes
    "subprocess": (edit(INDEX, net=["subprocess", "Popen"]), "Popen of subprocess"),
    "os.system": (edit(INDEX, net=["os", "system"]), "system of os"),
    "builtins": (edit(INDEX, net=["builtins", "eval"]), "eval of builtins"),
    "a module path": (edit(INDEX, net=["autopipe.cli", "main"]), "main of autopipe.cli"),
    "code of the checkpoint": (both(code, edit(INDEX, net=["hostile", "Net"])), "Net of hostile"),
    "a transformers class": (edit(INDEX, net=["transformers", "Trainer"]), "Trainer of trans"),
    "a private name": (edit(INDEX, net=["transformers", "__loader__"]), "__loader__ of trans"),
    "a pipeline of code": (edit(INDEX, _class_name=["hostile", "Pipe"]), "code file"),
    "a dotted class": (edit(INDEX, net=["diffusers", "os.system"]), "not names of"),
    "a class that is a list": (edit(INDEX, net=["diffusers", ["TinyNet"]]), "net"),
    "a class that is a number": (edit(INDEX, net=["diffusers", 3]), "net"),
    "half a pair": (edit(INDEX, net=["diffusers", None]), r"model_index\.json"),
    "a component that is text": (edit(INDEX, net="TinyNet"), "net"),
    "no class": (edit(INDEX, _class_name=None), r"model_index\.json"),
    "a class name that is long": (edit(INDEX, _class_name=["x" * 10**6] * 9), INDEX),
    "a component's name that is long": (
        edit(INDEX, **{"x" * 10**6: ["diffusers", "TinyNet"]}), "plain folder"
    ),
    "a class that is long": (edit(INDEX, net=["diffusers", "x" * 10**6]), "not names of"),
    "a library that is long": (edit(INDEX, net=["x." * 10**6 + "y", "Net"]), "not names of"),
    "a class name of path": (edit(INDEX, _class_name="../Full"), r"model_index\.json"),
    # JSON
    "an index that is a list": (write(INDEX, b"[]"), INDEX),
    "an index that is empty": (write(INDEX, b""), INDEX),
    "an index of other bytes": (write(INDEX, b"\xff\xfe\x00"), INDEX),
    "an index too deep": (write(INDEX, b"[" * 100_000), INDEX),
    "an index with a huge number": (write(INDEX, b'{"a": ' + b"9" * 10_000 + b"}"), INDEX),
    "an index that is a pointer": (write(INDEX, LFS), "LFS pointer"),
    "a config that is a list": (write("net/config.json", b"[1]"), r"net/config\.json"),
    "a config that is a pointer": (write("text_encoder/config.json", LFS), "LFS pointer"),
    "a config cut short": (cut("net/config.json", 5), r"net/config\.json"),
    "a scheduler that is null": (write("scheduler/scheduler_config.json", b"null"), "scheduler"),
    "a map that is a list": (edit(f"{NET}.safetensors.index.json", weight_map=[1]), "weight_map"),
    "a map that is empty": (edit(f"{NET}.safetensors.index.json", weight_map={}), "weight_map"),
    # Weights
    "weights cut short": (cut(SHARD, 3), "3 are missing"),
    "weights too long": (
        lambda f: os.truncate(f / SHARD, (f / SHARD).stat().st_size + 1), "should have"
    ),
    "weights that are empty": (write(SHARD, b""), "empty"),
    "weights that are a pointer": (write(SHARD, LFS), "LFS pointer"),
    "weights of text": (write(TEXT_SHARD, b"<html>busy</html>"), "web page"),
    "a header of 2^62 bytes": (write(SHARD, header(b"{}", 2**62)), "header"),
    "a header of 2^64-1 bytes": (write(SHARD, header(b"{}", 2**64 - 1)), "header"),
    "a header too deep": (write(SHARD, header(b"[" * 50_000)), "header"),
    "a header of text": (write(SHARD, header(b'"x"')), "header"),
    "a negative offset": (
        write(SHARD, header(b'{"seed":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}')),
        "is invalid",
    ),
    "an absurd shape": (
        write(
            SHARD,
            header(b'{"s":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'),
        ),
        "is invalid",
    ),
    "an unknown type": (
        write(SHARD, header(b'{"s":{"dtype":"OBJ","shape":[],"data_offsets":[0,0]}}')),
        "is invalid",
    ),
    "tensors that overlap": (
        write(
            SHARD,
            header(
                b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
                b'"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
                more=b"xxxxxx",
            ),
        ),
        "overlap",
    ),
    # Sizes
    "a width": (edit("net/config.json", width=10**12), "width"),
    "a width below": (edit("net/config.json", width=2**20), "config"),
    "a depth": (edit("net/config.json", depth=10**6), "more than 8,000 tensors"),
    "a number of 10,000 digits": (edit("net/config.json", width=10**4000), "width"),
    "a float": (edit("net/config.json", width=1e18), "width"),
    "infinity": (edit("net/config.json", width=float("inf")), "width"),
    "steps of a schedule": (
        edit("scheduler/scheduler_config.json", num_train_timesteps=10**11), "num_train_timesteps"
    ),
    "a hidden size": (edit("text_encoder/config.json", hidden_size=10**9), "hidden_size"),
    "layers": (edit("text_encoder/config.json", num_hidden_layers=10**5), "1,024, not 100000"),
    "positions": (edit("text_encoder/config.json", max_position_embeddings=10**10), "positions?"),
    "a vocabulary": (edit("text_encoder/config.json", vocab_size=10**15), "vocab_size"),
    "a nested size": (edit("text_encoder/config.json", text_config={"a": [10**15]}), "for a ="),
    "an image": (
        edit("feature_extractor/preprocessor_config.json", size={"height": 10**9, "width": 9}),
        "height",
    ),
    # Types
    "a width of text": (edit("net/config.json", width="4"), "TinyNet"),
    "a width of lists": (edit("net/config.json", width=[4]), "TinyNet"),
    "layers of text": (edit("text_encoder/config.json", num_hidden_layers="2"), "config"),
    "no layers": (edit("text_encoder/config.json", num_hidden_layers=None), "config"),
    "an activation": (edit("text_encoder/config.json", hidden_act="os.system"), "config"),
    "quantized": (edit("text_encoder/config.json", quantization_config={"a": 1}), "quantized"),
    # Tokenizers and processors
    "a vocabulary a link out": (link("tokenizer/vocab.json", "vocab.json"), POINTS_OUT),
    "merges a link out": (link("tokenizer/merges.txt", "merges.txt"), POINTS_OUT),
    "a template a link out": (link("tokenizer/chat_template.jinja", "x.jinja"), POINTS_OUT),
    "templates a link out": (link("tokenizer/additional_chat_templates", "t"), POINTS_OUT),
    "a template inside a link out": (
        link("tokenizer/additional_chat_templates/x.jinja", "x.jinja"), POINTS_OUT
    ),
    "an unknown file a link out": (link("tokenizer/more.dat", "more.dat"), POINTS_OUT),
    "a tokenizer.json a link out": (link("tokenizer/tokenizer.json", "t.json"), POINTS_OUT),
    "added tokens a link out": (link("tokenizer/added_tokens.json", "a.json"), POINTS_OUT),
    "a processor a link out": (
        link("feature_extractor/preprocessor_config.json", "p.json"), POINTS_OUT
    ),
    "a processor's neighbour a link out": (
        link("feature_extractor/processor_config.json", "p.json"), POINTS_OUT
    ),
    "a tokenizer folder a link out": (link("tokenizer", "tokenizer"), POINTS_OUT),
    "a vocabulary elsewhere": (
        edit("tokenizer/tokenizer_config.json", vocab_file="../../secret/vocab.json"), "vocab_file"
    ),
    "a vocabulary of the working folder": (
        edit("tokenizer/tokenizer_config.json", vocab_file="pyproject.toml"), "vocab_file"
    ),
    "merges elsewhere": (
        edit("tokenizer/tokenizer_config.json", merges_file="/etc/passwd"), "merges_file"
    ),
    "a tokenizer of a version elsewhere": (
        edit(
            "tokenizer/tokenizer_config.json",
            fast_tokenizer_files=["../../secret/tokenizer.4.0.0.json"],
        ),
        "fast_tokenizer_files",
    ),
    "content that is a path": (
        edit("tokenizer/tokenizer_config.json", vocab="../secret/vocab.json"), "'vocab'"
    ),
    "a path among special tokens": (
        both(
            write("tokenizer/special_tokens_map.json", b"{}"),
            edit("tokenizer/special_tokens_map.json", merges="../secret/merges.txt"),
        ),
        "'merges'",
    ),
    "arguments": (
        edit("tokenizer/tokenizer_config.json", init_inputs=["../secret/vocab.json"]), "init_inputs"
    ),
    "a tokenizer that is a pointer": (
        both(
            lambda f: (f / "tokenizer/tokenizer.json").unlink(missing_ok=True),
            write("tokenizer/vocab.json", LFS),
        ),
        "LFS pointer",
    ),
    "a tokenizer.json of nonsense": (write("tokenizer/tokenizer.json", b'{"a": 1}'), "tokenizer"),
    "a tokenizer.json that is empty": (write("tokenizer/tokenizer.json", b""), "empty"),
    "a processor that is a list": (
        write("feature_extractor/preprocessor_config.json", b"[]"), r"preprocessor_config\.json"
    ),
    # Pickles
    "a pickle": (pickled(NET, "plain"), "diffusion_pytorch_model.bin"),
    "a pickle of torch": (pickled(NET, "zip"), "more than tensors"),
    "a pickle of old torch": (pickled(NET, "legacy"), "diffusion_pytorch_model.bin"),
    "a pickle for transformers": (pickled(TEXT, "zip"), "more than tensors"),
    "an old pickle for transformers": (pickled(TEXT, "legacy"), r"pytorch_model\.bin"),
    "an archive of something else": (zipped, r"pytorch_model\.bin"),
    "an empty pickle": (
        both(pickled(NET, "zip"), write(f"{NET}.bin", b"")), "empty"
    ),
    "a pickle of one number, many times": (
        tensors(NET, lambda: {"seed": torch.zeros(1).expand(10**6, 10**6)}), "claim"
    ),
    "a pickle of one tensor, many times": (
        tensors(TEXT, lambda: dict.fromkeys(map(str, range(900)), torch.zeros(10**5))), "claim"
    ),
    "a pickle without values": (
        tensors(NET, lambda: {"seed": torch.empty(4, device="meta")}), "plain tensors"
    ),
    "a sparse pickle": (tensors(NET, lambda: {"seed": torch.eye(4).to_sparse()}), "plain tensors"),
    "a pickle that is a pointer": (both(pickled(NET, "zip"), write(f"{NET}.bin", LFS)), "pointer"),
}  # fmt: skip


def test_the_checkpoint_that_all_of_them_damage_is_good(checkpoint: Path) -> None:
    assert isinstance(Full.from_pretrained(checkpoint), Full)


@pytest.mark.parametrize("name", CORPUS)
def test_it_is_refused_and_inspected(
    name: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage, words = CORPUS[name]
    damage(checkpoint)
    monkeypatch.chdir(checkpoint)
    with watching(checkpoint), pytest.raises(AutopipeError, match=words) as caught:
        DiffusionPipeline.from_pretrained(checkpoint)
    assert len(str(caught.value)) < 1000
    with watching(checkpoint):
        assert main(["inspect", str(checkpoint), "--json"]) in (0, 1, 2)


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith(("a ", "an "))])
def test_it_is_refused_with_initial_values_too(
    name: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CORPUS[name][0](checkpoint)
    monkeypatch.chdir(checkpoint)
    with watching(checkpoint), pytest.raises(AutopipeError):
        Full.from_pretrained(
            checkpoint, low_cpu_mem_usage=False, ignore_mismatched_sizes=True, variant="auto"
        )


@pytest.mark.parametrize(
    "name", [n for n in CORPUS if "link out" in n and n.split()[0] not in ("index",)]
)
def test_what_leads_out_is_unsafe(name: str, checkpoint: Path) -> None:
    CORPUS[name][0](checkpoint)
    with watching(checkpoint), pytest.raises(UnsafeCheckpointError):
        Full.from_pretrained(checkpoint)


def test_files_of_code_are_ignored(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code(checkpoint)
    edit("text_encoder/config.json", auto_map={"AutoModel": "hostile.Net"})(checkpoint)
    edit("tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["hostile.T", None]})(
        checkpoint
    )
    monkeypatch.chdir(checkpoint)
    with watching(checkpoint):
        assert isinstance(Full.from_pretrained(checkpoint), Full)


@pytest.mark.parametrize("stem", [NET, TEXT])
def test_safetensors_go_before_a_pickle_and_alone_are_never_opened(
    stem: str, checkpoint: Path
) -> None:
    pickled(stem, "zip", also_safe=True)(checkpoint)
    assert isinstance(Full.from_pretrained(checkpoint), Full)
    bad = next((checkpoint / stem).parent.glob("*.bin"))
    for file in bad.parent.glob("*.safetensors*"):
        file.unlink()
    _watched.append(bad.parent)
    try:
        with pytest.raises(UnsafeCheckpointError, match="use_safetensors=True"):
            Full.from_pretrained(checkpoint, use_safetensors=True)
        assert not [event for event in _seen if event.endswith(".bin")]
    finally:
        _watched.clear()
        _seen.clear()


def test_remote_code_is_refused_with_the_way_to_do_it_here(checkpoint: Path) -> None:
    for keyword in ({"custom_pipeline": "owner/code"}, {"trust_remote_code": True}):
        with pytest.raises(UnsafeCheckpointError, match="as a plugin"):
            DiffusionPipeline.from_pretrained(checkpoint, **keyword)


def test_a_config_can_not_make_a_good_file_larger(checkpoint: Path) -> None:
    """Without initial values nothing is allocated, with them only what the files have."""
    edit("net/config.json", width=20_000)(checkpoint)
    for low in (True, False):
        with watching(checkpoint), pytest.raises(AutopipeError, match="net"):
            Full.from_pretrained(checkpoint, low_cpu_mem_usage=low, ignore_mismatched_sizes=not low)


def test_weights_that_are_no_numbers_load_and_are_reported_by_inspect(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = checkpoint / SHARD
    state = load_file(file)
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[0] = float("nan")
    save_file(state, file)
    assert isinstance(Full.from_pretrained(checkpoint), Full)
    assert main(["inspect", str(checkpoint)]) == 1
    assert f"{SHARD} has 1 values" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_class_is_not_imported(checkpoint: Path) -> None:
    edit(INDEX, net=["this", "Net"])(checkpoint)
    sys.modules.pop("this", None)
    with pytest.raises(UnsupportedCheckpointError):
        Full.from_pretrained(checkpoint)
    assert "this" not in sys.modules
