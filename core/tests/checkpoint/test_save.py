from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from transformers import T5Config, T5EncoderModel

from autopipe.checkpoint.files import plan_component
from autopipe.checkpoint.load import load_component
from autopipe.checkpoint.options import LoadOptions
from autopipe.checkpoint.save import SaveOptions, save_model
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.manifest import Component, Family
from autopipe.registry import register
from autopipe.resolution.targets import target_of

from .conftest import TinyNet, TinyPipeline, TinyScheduler, names, same, stranger, text_encoder

STEM = "diffusion_pytorch_model"


def test_a_pipeline_is_a_folder_for_each_component_and_an_index(saved: Path) -> None:
    assert names(saved) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        *(f"{n}/{f}" for n in ("net", "checker") for f in ("config.json", f"{STEM}.safetensors")),
    }
    index = json.loads((saved / "model_index.json").read_text())
    assert index["_class_name"] == "TinyPipeline"
    assert index["net"] == ["diffusers", "TinyNet"]
    assert index["checker"] == ["tiny", "OtherNet"]
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert index["strict"] is False


def test_files_can_be_read_by_others(saved: Path) -> None:
    config = saved / "net" / "config.json"
    weights = saved / "net" / f"{STEM}.safetensors"
    assert weights.stat().st_mode & 0o777 == config.stat().st_mode & 0o777


def test_an_absent_component_is_null(pipe: TinyPipeline, tmp_path: Path) -> None:
    pipe.checker = None
    pipe.save_pretrained(tmp_path / "p")
    index = json.loads((tmp_path / "p" / "model_index.json").read_text())
    assert index["checker"] == [None, None]
    assert not (tmp_path / "p" / "checker").exists()
    assert TinyPipeline.from_pretrained(tmp_path / "p").checker is None


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_large_models_are_split_and_come_back(
    tmp_path: Path, safe: bool, variant: str | None
) -> None:
    net = TinyNet(depth=6)
    net.save_pretrained(
        tmp_path / "n", max_shard_size=100, safe_serialization=safe, variant=variant
    )
    suffix, dotted = ("safetensors" if safe else "bin"), f".{variant}" if variant else ""
    index = tmp_path / "n" / f"{STEM}.{suffix}.index{dotted}.json"
    content = json.loads(index.read_text())
    assert set(content["weight_map"]) == set(net.state_dict())
    shards = set(content["weight_map"].values())
    assert len(shards) > 2
    assert names(tmp_path / "n") == {"config.json", index.name, *shards}
    assert f"{STEM}{dotted}-00001-of-{len(shards):05d}.{suffix}" in shards
    assert content["metadata"]["total_size"] == sum(t.nbytes for t in net.state_dict().values())
    assert same(
        TinyNet.from_pretrained(tmp_path / "n", variant=variant).state_dict(), net.state_dict()
    )


def test_a_save_replaces_weights_of_its_variant_and_keeps_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    TinyNet().save_pretrained(folder, max_shard_size=50)
    TinyNet().save_pretrained(folder, variant="fp16")
    (folder / "README.md").write_text("mine")
    (folder / "notes").mkdir()
    (folder / "notes" / "x").write_text("mine too")
    net = TinyNet()
    net.save_pretrained(folder)
    assert names(folder) == {
        "config.json",
        f"{STEM}.safetensors",
        f"{STEM}.fp16.safetensors",
        "README.md",
        "notes/x",
    }
    assert same(TinyNet.from_pretrained(folder).state_dict(), net.state_dict())


def test_a_pipeline_can_be_saved_over_the_folder_it_was_loaded_from(
    saved: Path, pipe: TinyPipeline
) -> None:
    loaded = TinyPipeline.from_pretrained(saved)
    with torch.no_grad():
        loaded.net.seed += 1
    loaded.save_pretrained(saved)
    again = TinyPipeline.from_pretrained(saved)
    assert torch.equal(again.net.seed, pipe.net.seed + 1)
    assert same(again.text_encoder.state_dict(), pipe.text_encoder.state_dict())


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path: Path) -> None:
    config = T5Config(d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=12)
    model = T5EncoderModel(config).eval()
    save_model(model, tmp_path / "t5", SaveOptions())
    state = load_file(tmp_path / "t5" / "model.safetensors")
    assert "shared.weight" in state
    assert "encoder.embed_tokens.weight" not in state
    source = LocalSource(tmp_path)
    files = plan_component(source, ("t5",), stems=("model",))
    loaded, info = load_component(T5EncoderModel, source, files, LoadOptions())
    assert info.missing == ()
    assert loaded.encoder.embed_tokens.weight is loaded.shared.weight
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded(ids).last_hidden_state, model(ids).last_hidden_state)


def test_a_scheduler_is_one_file(tmp_path: Path) -> None:
    TinyScheduler(sigma=0.125).save_pretrained(tmp_path / "s")
    assert names(tmp_path / "s") == {"scheduler_config.json"}
    assert TinyScheduler.from_pretrained(tmp_path / "s").config.sigma == 0.125


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    TinyNet().save_pretrained(tmp_path / "n", is_main_process=False)
    assert not (tmp_path / "n").exists()


def test_bad_calls_write_nothing(tmp_path: Path, pipe: TinyPipeline) -> None:
    with pytest.raises(ArgumentError, match="variant"):
        pipe.save_pretrained(tmp_path / "p", variant="../x")
    with pytest.raises(ArgumentTypeError, match="max_shard"):
        pipe.save_pretrained(tmp_path / "p", max_shard=3)
    offloaded = TinyNet().to("meta")
    with pytest.raises(ArgumentError, match="offload"):
        offloaded.save_pretrained(tmp_path / "p")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="is a file"):
        pipe.save_pretrained(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (parametrizations.weight_norm, "weight"),
        (parametrizations.orthogonal, "weight"),
        (lambda layer: prune.random_unstructured(layer, "bias", amount=1), "bias"),
    ],
)
def test_a_parameter_that_is_computed_is_made_one_again_before_a_save(
    change: Callable[[nn.Module], object], name: str, pipe: TinyPipeline, tmp_path: Path
) -> None:
    layer = pipe.text_encoder.get_submodule("encoder.layers.0.mlp.fc1")
    change(layer)
    with pytest.raises(ArgumentError, match=f"lacks encoder.layers.0.mlp.fc1.{name}, .*remove_p"):
        pipe.save_pretrained(tmp_path / "p")
    assert not (tmp_path / "p").exists()
    if parametrize.is_parametrized(layer):
        parametrize.remove_parametrizations(layer, name)
    else:
        prune.remove(layer, name)
    pipe.save_pretrained(tmp_path / "p")
    again = TinyPipeline.from_pretrained(tmp_path / "p").text_encoder
    assert same(again.state_dict(), pipe.text_encoder.state_dict())


def test_a_network_without_a_part_that_its_config_asks_for_is_not_saved(tmp_path: Path) -> None:
    net = TinyNet(depth=2)
    name = next(iter(net.state_dict()))
    owner, _, attribute = name.rpartition(".")
    delattr(net.get_submodule(owner), attribute)
    with pytest.raises(ArgumentError, match=name):
        net.save_pretrained(tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_arguments_have_the_order_of_the_original(pipe: TinyPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "p", False, "v", "10GB", False)
    assert f"net/{STEM}.v.bin" in names(tmp_path / "p")
    pipe.net.save_pretrained(tmp_path / "n", False)
    assert not (tmp_path / "n").exists()
    pipe.net.save_pretrained(tmp_path / "n", True, None, False, "v", "10GB", False)
    assert names(tmp_path / "n") == {"config.json", f"{STEM}.v.bin"}
    pipe.scheduler.save_pretrained(tmp_path / "s", False)
    assert names(tmp_path / "s") == {"scheduler_config.json"}


def test_a_function_to_save_with_is_not_called(
    pipe: TinyPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def function(*arguments: object) -> None:
        raise AssertionError("it is called")

    pipe.net.save_pretrained(tmp_path / "n", save_function=function)
    assert names(tmp_path / "n") == {"config.json", f"{STEM}.safetensors"}
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "save_function=" in caplog.text


@pytest.mark.parametrize(
    "keywords",
    [
        *({"variant": v} for v in ("", 5, True, ["fp16"], "a.b", "a/b", "a\\b", "a\0", "a\ud83d")),
        *({"variant": v} for v in ("x" * 161, "\u00fc" * 81, "a\x1b[31m", "v-00001-of-00002")),
        *({"max_shard_size": s} for s in (0, -1, True, 0.5, "", "5XB", "5 GB GB", [5], {}, b"5GB")),
        *({"max_shard_size": s} for s in ("9" * 400, float("nan"), float("inf"), object(), "-5GB")),
    ],
    ids=lambda keywords: str(keywords)[:40],
)
@pytest.mark.parametrize("what", ["pipe", "net"])
def test_values_of_another_kind_are_refused_before_any_work(
    pipe: TinyPipeline, tmp_path: Path, what: str, keywords: dict[str, object]
) -> None:
    saved: Any = pipe if what == "pipe" else pipe.net
    with pytest.raises(ArgumentError, match=next(iter(keywords))) as caught:
        saved.save_pretrained(tmp_path / "p", **keywords)
    assert len(str(caught.value)) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "variant", ["fp16", "x" * 160, "a b", "\u00fc", "non_ema", "index", "v-1-of-2"]
)
@pytest.mark.parametrize("size", ["10GB", 60, 60.0, np.int64(60)])
def test_a_variant_that_can_be_saved_can_be_loaded(
    tmp_path: Path, variant: str, size: object
) -> None:
    net = TinyNet(depth=2)
    net.save_pretrained(tmp_path, variant=variant, max_shard_size=size)  # type: ignore[arg-type]
    loaded = TinyNet.from_pretrained(tmp_path, variant=variant)
    assert same(loaded.state_dict(), net.state_dict())


# Classes that an index can't name


class MyNet(TinyNet):
    """A user's own."""


class MyScheduler(TinyScheduler):
    """A user's own."""


def test_a_subclass_goes_by_its_base_and_that_is_said(
    pipe: TinyPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe.save_pretrained(tmp_path / "plain")
    assert caplog.text == ""
    pipe.net, pipe.scheduler = MyNet(depth=2), MyScheduler()
    pipe.save_pretrained(tmp_path / "p")
    assert "names the base class TinyNet for net, which is a MyNet" in caplog.text
    assert "names the base class TinyScheduler for scheduler, which is a MyScheduler" in caplog.text
    assert type(TinyPipeline.from_pretrained(tmp_path / "p").net) is TinyNet
    # What the message says helps.
    caplog.clear()
    components = (
        Component("MyNet", target_of(MyNet)),
        Component("MyScheduler", target_of(MyScheduler)),
    )
    register(Family("mine", components=components))
    pipe.save_pretrained(tmp_path / "p")
    assert caplog.text == ""
    loaded = TinyPipeline.from_pretrained(tmp_path / "p")
    assert (type(loaded.net), type(loaded.scheduler)) == (MyNet, MyScheduler)


def test_a_class_is_one_of_transformers_if_that_library_has_it(
    pipe: TinyPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Encoder(type(pipe.text_encoder)):  # type: ignore[misc]
        """A user's own."""

    foreign = stranger("CLIPTextModel", "transformers.models.clip.modeling_clip", "inner")
    beside = stranger("CLIPTextModel", "transformers_extra.models", "inner")
    mixed_in = type("Mine", (nn.Module, transformers.generation.GenerationMixin), {})
    for made in (foreign(pipe.net), beside(pipe.net), mixed_in()):
        pipe.text_encoder = made
        with pytest.raises(ArgumentError, match=r"'text_encoder' is a"):
            pipe.save_pretrained(tmp_path / "p")
    assert list(tmp_path.iterdir()) == []
    pipe.text_encoder = Encoder(text_encoder().config)
    assert pipe.index()["text_encoder"] == ["transformers", "CLIPTextModel"]
    pipe.save_pretrained(tmp_path / "p")
    assert "names the base class CLIPTextModel for text_encoder, which is a Encoder" in caplog.text


class Vocabulary:
    """A processor of somebody's own, which is saved as other files than before."""

    def __init__(self, name: str = "vocab.txt") -> None:
        self.name = name

    def __call__(self) -> None: ...

    def save_pretrained(self, folder: str) -> None:
        (Path(folder) / self.name).write_text("words")


def test_of_a_tokenizers_folder_only_what_a_tokenizer_reads_is_replaced(
    pipe: TinyPipeline, tmp_path: Path
) -> None:
    register(
        Family("words", components=(Component("Vocabulary", target_of(Vocabulary), kind="other"),))
    )
    pipe.text_encoder = Vocabulary("vocab.txt")
    pipe.save_pretrained(tmp_path)
    for mine in ("README.md", "notes.txt", "data.json"):
        (tmp_path / "text_encoder" / mine).write_text("mine")
    pipe.text_encoder = Vocabulary("tokenizer.json")
    pipe.save_pretrained(tmp_path)
    assert {p.name for p in (tmp_path / "text_encoder").iterdir()} == {
        "tokenizer.json", "README.md", "notes.txt", "data.json"
    }  # fmt: skip
