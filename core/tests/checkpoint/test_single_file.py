"""Single files: a layout says what lies where, and the loader takes the weights from there."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autopipe.auto import AutoPipelineForText2Image
from autopipe.checkpoint.formats.headers import TensorInfo
from autopipe.checkpoint.save_single import save_single
from autopipe.checkpoint.single.layout import (
    Config,
    Contents,
    Joined,
    Layout,
    Network,
    Piece,
    SingleFile,
)
from autopipe.cli import main
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    PluginError,
    QuantizedWeightsError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
)
from autopipe.manifest import Family, Reader
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of

from .conftest import FAMILY, OtherNet, TinyNet, TinyPipeline, TinyScheduler, same

PLAIN = ("precise.weight", "precise.bias", "seed", "count", "layers.0.bias", "layers.1.bias")
FUSED = tuple(f"layers.{i}.weight" for i in range(2))


class ToyLayout(Layout):
    """Both layers of a network in one tensor; the seed is transposed twice over."""

    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        if "net.fails" in file.tensors:
            raise KeyError("net.fails")
        pieces = {name: Piece(f"net.{name}") for name in PLAIN}
        pieces |= {name: Piece("net.fused", i, 2) for i, name in enumerate(FUSED)}
        config = file.config("net") or {"depth": 2, "note": "of the layout"}
        networks = {"net": Network("diffusers", "TinyNet", config, pieces)}
        if "alone" in file.tensors:
            return Contents(networks)
        scheduler = {"sigma": file.numbers.get("sigma", 0.5)}
        others = {"scheduler": ["diffusers", "TinyScheduler"], "text_encoder": [None, None]}
        files: dict[str, Config] = {"scheduler/scheduler_config.json": scheduler}
        changes = {"model_index.json": {"strict": False}}
        return Contents(networks, "TinyPipeline", others, files, changes, ("assumed something",))

    @classmethod
    def write(
        cls, pipeline: str, components: Mapping[str, tuple[Config, Mapping[str, TensorInfo]]]
    ) -> Mapping[str, Joined] | None:
        if pipeline != "TinyPipeline":
            return None
        plain = {f"net.{name}": Joined("net", (name,)) for name in PLAIN}
        return {**plain, "net.fused": Joined("net", FUSED)}


def write_nothing(file: Path, folder: Path) -> None:
    """A reader of the older form."""
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "TinyPipeline"}))


@pytest.fixture(autouse=True)
def reading(monkeypatch: pytest.MonkeyPatch) -> Registry:
    readers = (
        Reader("toy", ("net.fused",), target_of(ToyLayout), absent=("old",)),
        Reader("old-toy", ("old",), f"{__name__}:write_nothing"),
    )
    toys = Installed(Plugin("toys", "d-toys", "1"), Family("toys", readers=readers))
    made = Registry([Installed(Plugin("tiny", "tiny-dist", "1"), FAMILY), toys])
    monkeypatch.setattr("autopipe.registry._default", made)
    return made


@pytest.fixture
def net() -> TinyNet:
    torch.manual_seed(0)
    return TinyNet(depth=2).eval()


def tensors(net: TinyNet) -> dict[str, Tensor]:
    state = net.state_dict()
    fused = torch.cat([state.pop(name) for name in FUSED])
    return {"net.fused": fused, **{f"net.{name}": tensor for name, tensor in state.items()}}


@pytest.fixture
def file(net: TinyNet, tmp_path: Path) -> Path:
    save_file(tensors(net), tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def load(file: Path, **options: Any) -> Any:
    return DiffusionPipeline.from_single_file(file, text_encoder=None, **options)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_come_from_the_file(
    dtype: torch.dtype, mapped: bool, file: Path, net: TinyNet
) -> None:
    pipe = load(file, torch_dtype=dtype, disable_mmap=not mapped)
    expected = {
        name: tensor.to(dtype) if tensor.is_floating_point() and "precise" not in name else tensor
        for name, tensor in net.state_dict().items()
    }
    assert same(pipe.net.state_dict(), expected)
    assert pipe.net.config.note == "of the layout"
    assert pipe.strict is False if hasattr(pipe, "strict") else True
    assert pipe.net.config._name_or_path == str(file / "net")


def test_a_pickle_is_read_likewise(net: TinyNet, tmp_path: Path) -> None:
    state = {"state_dict": tensors(net), "sigma": 0.25, "hyper": {"lr": 1.0}}
    torch.save(state, tmp_path / "x.ckpt")
    pipe = load(tmp_path / "x.ckpt")
    assert same(pipe.net.state_dict(), net.state_dict())
    assert pipe.scheduler.config.sigma == 0.25
    with pytest.raises(CheckpointError, match="use_safetensors=True refuses"):
        load(tmp_path / "x.ckpt", use_safetensors=True)


def test_axes_the_other_way_round(tmp_path: Path, monkeypatch: Any) -> None:
    net = TinyNet(width=3)
    state = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    matrix = state.pop("net.layers.0.weight")
    save_file({**state, "net.fused": matrix.t().contiguous()}, tmp_path / "x.safetensors")
    torch.save({**state, "net.fused": matrix.t()}, tmp_path / "x.pt")

    def read(file: SingleFile) -> Contents:
        pieces = {name.removeprefix("net."): Piece(name) for name in state}
        pieces["layers.0.weight"] = Piece("net.fused", transposed=True)
        return Contents({"net": Network("diffusers", "TinyNet", {"width": 3}, pieces)})

    monkeypatch.setattr(ToyLayout, "read", read)
    for name in ("x.safetensors", "x.pt"):
        for dtype in (None, torch.float64):
            loaded = TinyNet.from_single_file(tmp_path / name, torch_dtype=dtype)
            assert torch.equal(loaded.layers[0].weight, matrix.to(dtype or torch.float32))
            assert loaded.layers[0].weight.is_contiguous()


def test_several_parts_and_halves_the_other_way_round(tmp_path: Path, monkeypatch: Any) -> None:
    net = TinyNet(width=4)
    state = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    matrix = state.pop("net.layers.0.weight")
    bias = state.pop("net.layers.0.bias")
    fused = {
        "net.fused": torch.cat([torch.zeros(2, 4), matrix[2:], matrix[:2], torch.zeros(2, 4)]),
        "net.halves": torch.cat([bias[2:], bias[:2]]),
    }
    save_file({**state, **fused}, tmp_path / "x.safetensors")
    torch.save({**state, **fused}, tmp_path / "x.pt")

    def read(file: SingleFile) -> Contents:
        pieces = {name.removeprefix("net."): Piece(name) for name in state}
        pieces["layers.0.weight"] = Piece("net.fused", 1, 4, count=2, swapped=True)
        pieces["layers.0.bias"] = Piece("net.halves", swapped=True)
        return Contents({"net": Network("diffusers", "TinyNet", {"width": 4}, pieces)})

    monkeypatch.setattr(ToyLayout, "read", read)
    for name in ("x.safetensors", "x.pt"):
        for dtype in (None, torch.float64):
            loaded = TinyNet.from_single_file(tmp_path / name, torch_dtype=dtype)
            assert torch.equal(loaded.layers[0].weight, matrix.to(dtype or torch.float32))
            assert torch.equal(loaded.layers[0].bias, bias.to(dtype or torch.float32))


def test_pieces_that_a_tensor_does_not_have() -> None:
    with pytest.raises(WeightsMismatchError, match=r"x has the shape \(4, 2\).*3 equal parts"):
        Piece("x", 0, 3).shape_of((4, 2))
    with pytest.raises(WeightsMismatchError, match="two axes"):
        Piece("x", transposed=True).shape_of((4, 2, 1))
    with pytest.raises(WeightsMismatchError, match="2 equal parts"):
        Piece("x", swapped=True).shape_of((3, 2))
    assert Piece("x", 3, 7, count=4).shape_of((14, 2)) == (8, 2)
    assert Piece("x", 1, 2, matrix=True).shape_of((4, 2, 1, 1)) == (2, 2)
    assert Piece("x", matrix=True).shape_of((4, 2, 3, 3)) == (4, 2, 3, 3)
    assert Piece("x", matrix=True).shape_of((4,)) == (4,)


def test_every_opener(file: Path, net: TinyNet) -> None:
    for load in (
        DiffusionPipeline.from_pretrained,
        TinyPipeline.from_single_file,
        AutoPipelineForText2Image.from_single_file,
    ):
        pipe: Any = load(file, text_encoder=None)  # type: ignore[operator]
        assert isinstance(pipe, TinyPipeline)
        assert same(pipe.net.state_dict(), net.state_dict())
    for one in (TinyNet.from_pretrained(file), TinyNet.from_single_file(file)):
        assert same(one.state_dict(), net.state_dict())
    one = TinyNet.from_single_file(tensors(net))
    assert same(one.state_dict(), net.state_dict())


def test_configs_and_what_is_lacking_come_from_a_folder(
    file: Path, saved: Path, net: TinyNet, edit: Any
) -> None:
    edit(saved / "net" / "config.json", note="of the folder")
    pipe = TinyPipeline.from_single_file(file, config=saved)
    whole = TinyPipeline.from_pretrained(saved)
    assert pipe.net.config.note == "of the folder"
    assert same(pipe.net.state_dict(), net.state_dict())
    assert same(pipe.text_encoder.state_dict(), whole.text_encoder.state_dict())
    assert pipe.scheduler.config.sigma == 0.25
    for options in ({"subfolder": "net"}, {}):
        one = TinyNet.from_single_file(file, config=saved, **options)
        assert one.config.note == "of the folder"
    assert TinyNet.from_single_file(file, config=saved / "net").config.note == "of the folder"
    with pytest.raises(CheckpointError, match=r"no config\.json in 'absent'"):
        TinyNet.from_single_file(file, config=saved, subfolder="absent")


def test_names_of_the_class_itself_need_only_a_config(net: TinyNet, tmp_path: Path) -> None:
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(UnsupportedCheckpointError, match="no installed plugin knows its layout"):
        TinyNet.from_single_file(tmp_path / "own.safetensors")
    net.save_pretrained(tmp_path / "net")
    one = TinyNet.from_single_file(tmp_path / "own.safetensors", config=tmp_path / "net")
    assert same(one.state_dict(), net.state_dict())


def test_what_it_holds_is_said(file: Path, net: TinyNet, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"net \(TinyNet\), and no OtherNetwork"):
        type("OtherNetwork", (OtherNet.__base__.__base__,), {}).from_single_file(file)  # type: ignore[union-attr]
    alone = {**tensors(net), "alone": torch.ones(1)}
    save_file(alone, tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match=r"net alone.*TinyNet\.from_single_file.*net="):
        load(tmp_path / "alone.safetensors")


def test_a_reader_that_fails_is_named(net: TinyNet, tmp_path: Path) -> None:
    save_file({**tensors(net), "net.fails": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(PluginError, match=r"'toy' failed .*KeyError"):
        load(tmp_path / "x.safetensors")


def test_the_older_form_still_writes_a_folder(tmp_path: Path) -> None:
    save_file({"old": torch.ones(1), "net.fused": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ArgumentError, match="TinyPipeline needs net"):
        load(tmp_path / "x.safetensors")


def test_nothing_temporary_is_left(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    pipe = load(file)
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []
    pipe.net(torch.ones(1, 4))


def test_a_file_that_changes_meanwhile_is_refused(file: Path, monkeypatch: Any) -> None:
    from autopipe.checkpoint import load as loading

    before = loading.read_weights

    def meanwhile(*given: Any) -> Any:
        found = before(*given)
        file.write_bytes(file.read_bytes())
        return found

    monkeypatch.setattr(loading, "read_weights", meanwhile)
    with pytest.raises(CheckpointError, match=r"x\.safetensors changed while"):
        load(file)


def test_threads_load_one_file_at_once(file: Path, net: TinyNet) -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(load(file))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(same(pipe.net.state_dict(), net.state_dict()) for pipe in found)


def test_wrong_keywords(file: Path) -> None:
    for wrong, error, words in (
        ({"config": ".", "original_config": {}}, ArgumentError, "give one of them"),
        ({"prediction_type": "x"}, ArgumentError, "is not one of epsilon"),
        ({"extract_ema": True}, ArgumentError, "extract_ema=True is not supported"),
        ({"quantization_config": {}}, QuantizedWeightsError, "asks to quantize"),
        ({"nonsense": 1}, ArgumentTypeError, "no keyword 'nonsense'"),
    ):
        with pytest.raises(error, match=words):
            load(file, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="a state dict maps names to tensors"):
        TinyNet.from_single_file({"a": 1})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "form", ["{}/blob/main/x.safetensors", "{}/resolve/main/x.safetensors", "{}/x.safetensors"]
)
@pytest.mark.parametrize("host", ["https://huggingface.co/", "hf.co/"])
def test_a_file_on_the_hub(
    form: str, host: str, hub_server: Any, file: Path, net: TinyNet, tmp_path: Path
) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "x.safetensors").write_bytes(file.read_bytes())
    (tmp_path / "repository" / "other.bin").write_bytes(b"not needed")
    hub_server.add("owner/name", tmp_path / "repository")
    pipe = load(host + form.format("owner/name"))  # type: ignore[arg-type]
    assert same(pipe.net.state_dict(), net.state_dict())
    assert hub_server.fetched() == ["x.safetensors"]


# Quantized weights


def test_quantized_weights_have_one_answer(
    net: TinyNet, saved: Path, edit: Any, tmp_path: Path
) -> None:
    """A folder of any family, whatever shows that its weights are quantized."""

    def refused(words: str) -> None:
        with pytest.raises(QuantizedWeightsError, match=words):
            TinyPipeline.from_pretrained(saved)

    weights = saved / "net" / "diffusion_pytorch_model.safetensors"
    before = load_file(weights)
    for extra, words in (
        ("layers.0.weight.absmax", "bitsandbytes"),
        ("layers.0.weight.quant_state.bitsandbytes__nf4", "bitsandbytes"),
        ("layers.0.weight.SCB", "bitsandbytes"),
        ("layers.0.qweight", "GPTQ"),
        ("layers.0.scale_weight", "scaled float8"),
        ("layers.0.comfy_quant", "scaled float8"),
        ("layers.0.weight:_data", "torchao"),
        ("layers.0._weight_qdata", "torchao"),
        ("layers.0.wscales", "SVDQuant"),
    ):
        save_file({**before, extra: torch.ones(1)}, weights)
        refused(words)
    save_file(before, weights)
    edit(saved / "net" / "config.json", quantization_config={"quant_method": "gguf"})
    refused("gguf")
    edit(saved / "net" / "config.json", quantization_config=None)
    edit(saved / "text_encoder" / "config.json", quantization_config={"quant_method": "awq"})
    refused("awq")
    with pytest.raises(QuantizedWeightsError, match="quantization_config= asks to quantize"):
        TinyPipeline.from_pretrained(saved, quantization_config=object())


def test_a_pickle_of_quantized_tensors_says_whose_they_are(tmp_path: Path) -> None:
    content = b"\x80\x02ctorchao.dtypes\nAffineQuantizedTensor\n."
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(QuantizedWeightsError, match="torchao"):
        load(tmp_path / "x.ckpt")


# Writing


@pytest.fixture
def made(net: TinyNet) -> TinyPipeline:
    return TinyPipeline(net, None, TinyScheduler(), None)


def test_a_pipeline_becomes_a_file(made: TinyPipeline, net: TinyNet, tmp_path: Path) -> None:
    file = save_single(made, tmp_path / "made.safetensors")
    expected = tensors(net)
    assert same(load_file(file), expected)
    with pytest.raises(ArgumentError, match="exists"):
        save_single(made, file)
    save_single(made, file, overwrite=True)
    for wrong in ("made.bin", tmp_path / "absent" / "x.safetensors", "a\0.safetensors"):
        with pytest.raises(ArgumentError):
            save_single(made, wrong)
    with pytest.raises(ArgumentTypeError):
        save_single(made, 3)  # type: ignore[arg-type]


def test_what_has_no_place_is_refused_first(made: TinyPipeline, tmp_path: Path) -> None:
    made.register_modules(checker=OtherNet())
    with pytest.raises(UnsupportedCheckpointError, match=r"no place for checker\.seed"):
        save_single(made, tmp_path / "x.safetensors")
    class_of_mine = type("Mine", (TinyPipeline,), {})
    with pytest.raises(UnsupportedCheckpointError, match="'Mine'"):
        save_single(
            class_of_mine(TinyNet(), None, TinyScheduler(), None), tmp_path / "x.safetensors"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_layout_says_what_may_be_left_out(
    made: TinyPipeline, tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    made.register_modules(checker=OtherNet())
    monkeypatch.setattr(ToyLayout, "left_out", ("checker",))
    assert save_single(made, tmp_path / "x.safetensors").is_file()
    assert "no place for checker, so it is left out" in caplog.text


def test_a_full_disk_leaves_the_old_file(
    made: TinyPipeline, tmp_path: Path, monkeypatch: Any
) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"old")

    def full(*given: Any, **how: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autopipe.checkpoint.save_single.write_tensors", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_single(made, file, overwrite=True)
    assert file.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["x.safetensors"]


# The commands


def test_convert_goes_both_ways(
    net: TinyNet, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(TinyPipeline, "_optional_components", ("checker", "text_encoder"))
    file, folder = tmp_path / "c.safetensors", tmp_path / "folder"
    pipe = TinyPipeline(net, None, TinyScheduler(sigma=0.75), None)
    pipe.save_pretrained(tmp_path / "first")
    assert main(["convert", str(tmp_path / "first"), "-o", str(file)]) == 0
    assert "Saved the TinyPipeline" in capsys.readouterr().out
    assert main(["convert", str(file), "-o", str(folder), "--config", str(tmp_path / "first")]) == 0
    again = TinyPipeline.from_pretrained(folder)
    assert same(again.net.state_dict(), net.state_dict())
    assert again.scheduler.config.sigma == 0.75
    assert main(["convert", str(file), "-o", str(tmp_path / "half"), "--dtype", "float16"]) == 0
    assert TinyPipeline.from_pretrained(tmp_path / "half", torch_dtype="auto").net.seed.dtype == (
        torch.float16
    )


def test_convert_refuses_before_it_writes(
    file: Path, saved: Path, tmp_path: Path, capsys: Any
) -> None:
    present = {one.name for one in tmp_path.iterdir()}
    for line, words in (
        ([file, "-o", file], "exists"),
        ([saved, "-o", tmp_path / "n.safetensors"], "no place for"),
        ([saved, "-o", tmp_path / "n", "--prediction-type", "epsilon"], "describe a single file"),
        ([file, "-o", saved / "model_index.json"], "is a file"),
        ([tmp_path / "absent", "-o", tmp_path / "n"], "there is no folder"),
    ):
        assert main(["convert", *map(str, line)]) == 2
        assert words in capsys.readouterr().err
    assert {one.name for one in tmp_path.iterdir()} == present


def test_commands_take_a_file(file: Path, capsys: Any) -> None:
    assert main(["resolve", str(file)]) == 0
    assert "TinyPipeline" in capsys.readouterr().out
    assert main(["inspect", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    net = next(one for one in found["components"] if one["name"] == "net")
    assert (net["dtype"], net["parameters"]) == ("float32", 53)
