from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.odd import JSON, refusal, says
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3Model,
)

from autopipe.checkpoint.files import plan_component
from autopipe.checkpoint.foreign import models as compat
from autopipe.checkpoint.foreign.entries import NetworkEntries
from autopipe.checkpoint.load import load_component
from autopipe.checkpoint.options import LoadOptions
from autopipe.checkpoint.save import SaveOptions, save_model
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import (
    CheckpointError,
    ConfigError,
    DamagedFileError,
    UnsafeCheckpointError,
    WeightsMismatchError,
)

from ..conftest import same, text_encoder

IDS = torch.tensor([[0, 5, 6, 2]])
WEIGHTS = "model.safetensors"


def load(cls: type, folder: Path, **options: Any) -> Any:
    source = LocalSource(folder.parent)
    files = plan_component(
        source,
        (folder.name,),
        stems=compat.STEMS if hasattr(cls, "forward") else (),
    )
    return load_component(cls, source, files, LoadOptions(**options))[0]


@pytest.fixture
def encoder() -> CLIPTextModel:
    torch.manual_seed(0)
    return text_encoder()


@pytest.fixture
def folder(encoder: CLIPTextModel, tmp_path: Path) -> Path:
    save_model(encoder, tmp_path / "text_encoder", SaveOptions())
    return tmp_path / "text_encoder"


def test_every_listed_class_is_there() -> None:
    for name in compat.CLASSES:
        assert compat.find_class(name) is not None
    assert compat.find_class("CLIPFeatureExtractor") is compat.find_class("CLIPImageProcessor")


@pytest.mark.parametrize("name", ["AutoModel", "pipeline", "Trainer", "__class__", "os"])
def test_other_names_are_not_looked_up(name: str) -> None:
    assert compat.find_class(name) is None


def test_index_names_are_those_of_every_release() -> None:
    assert compat.saved_name("CLIPImageProcessorPil") == "CLIPImageProcessor"
    assert compat.saved_name("DPTImageProcessorPil") == "DPTImageProcessor"
    assert compat.saved_name("CLIPTextModel") == "CLIPTextModel"
    assert compat.saved_name("SomethingElse") == "SomethingElse"


def test_a_model_gives_the_output_it_gave(folder: Path, encoder: CLIPTextModel) -> None:
    loaded = load(CLIPTextModel, folder)
    assert torch.equal(loaded(IDS).last_hidden_state, encoder(IDS).last_hidden_state)
    assert not loaded.training


def test_transformers_loads_what_is_saved(folder: Path, encoder: CLIPTextModel) -> None:
    loaded = CLIPTextModel.from_pretrained(folder)
    assert same(loaded.state_dict(), encoder.state_dict())
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["CLIPTextModel"]
    assert config["dtype"] == "float32"
    assert not any(name.startswith("_") for name in config)


def test_what_transformers_saves_is_loaded(tmp_path: Path, encoder: CLIPTextModel) -> None:
    encoder.save_pretrained(tmp_path / "t")
    assert same(load(CLIPTextModel, tmp_path / "t").state_dict(), encoder.state_dict())


@pytest.mark.parametrize("cls", [CLIPTextModel, CLIPTextModelWithProjection])
@pytest.mark.parametrize("prefixed", [True, False])
def test_both_forms_of_clip_names_load(
    tmp_path: Path, encoder: CLIPTextModel, cls: Any, prefixed: bool
) -> None:
    model = cls(encoder.config).eval()
    save_model(model, tmp_path / "t", SaveOptions())
    bare = {
        name.removeprefix("text_model."): tensor
        for name, tensor in load_file(tmp_path / "t" / WEIGHTS).items()
    }
    state = {
        f"text_model.{n}" if prefixed and n != "text_projection.weight" else n: tensor
        for n, tensor in bare.items()
    }
    ids = "text_model.embeddings.position_ids" if prefixed else "embeddings.position_ids"
    state[ids] = torch.arange(5)[None]
    save_file(state, tmp_path / "t" / WEIGHTS)
    assert same(load(cls, tmp_path / "t").state_dict(), model.state_dict())


def test_the_text_half_of_a_whole_clip_checkpoint_loads(
    tmp_path: Path, encoder: CLIPTextModel
) -> None:
    vision = transformers.CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=8, patch_size=4,
    )  # fmt: skip
    both = transformers.CLIPConfig(
        text_config=encoder.config.to_dict(), vision_config=vision.to_dict(), projection_dim=8
    )
    clip = transformers.CLIPModel(both).eval()
    clip.save_pretrained(tmp_path / "clip")
    loaded = load(CLIPTextModel, tmp_path / "clip")
    expected = clip.text_model(IDS).last_hidden_state
    assert torch.equal(loaded(IDS).last_hidden_state, expected)


def test_the_dtype_is_recorded_in_the_config(folder: Path) -> None:
    loaded = load(CLIPTextModel, folder, dtype=torch.float16)
    assert loaded.dtype is torch.float16
    assert loaded.config.dtype is torch.float16


def test_a_float16_t5_keeps_its_output_matrices_in_float32(tmp_path: Path) -> None:
    config = transformers.T5Config(
        d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=12
    )
    save_model(transformers.T5EncoderModel(config), tmp_path / "t5", SaveOptions())
    for dtype, wo in ((torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)):
        loaded = load(transformers.T5EncoderModel, tmp_path / "t5", dtype=dtype)
        feed_forward = loaded.encoder.block[0].layer[1].DenseReluDense
        assert feed_forward.wo.weight.dtype is wo
        assert feed_forward.wi.weight.dtype is dtype


def test_a_config_can_not_ask_for_code_or_kernels(folder: Path, edit: Callable[..., None]) -> None:
    edit(
        folder / "config.json",
        auto_map={"AutoModel": "owner/code--module.Class"},
        attn_implementation="owner/kernel",
        _attn_implementation="owner/kernel",
        _name_or_path="/secret/place",
        num_labels=2**40,
    )
    loaded = load(CLIPTextModel, folder)
    assert loaded.config._attn_implementation in ("sdpa", "eager")
    assert "/secret" not in str(loaded.config.to_dict())


@pytest.mark.parametrize(
    "entries",
    [
        {"hidden_size": "wide"},
        {"hidden_size": 0},
        {"num_attention_heads": 0},
        {"num_hidden_layers": [1]},
        {"hidden_act": "os.system"},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
    ],
)
def test_a_config_that_makes_no_sense_is_named(
    folder: Path, edit: Callable[..., None], entries: dict[str, Any]
) -> None:
    edit(folder / "config.json", **entries)
    with pytest.raises(ConfigError, match="config"):
        load(CLIPTextModel, folder)


def small(**changes: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "projection_dim": 8}
    return {**sizes, "num_attention_heads": 2, **changes}


def depth_estimator() -> Any:
    backbone = {
        "model_type": "bit", "global_padding": "same", "layer_type": "bottleneck",
        "depths": [1, 1, 1], "hidden_sizes": [32, 32, 32], "embedding_size": 8, "num_groups": 2,
        "out_features": ["stage1", "stage2", "stage3"], "embedding_dynamic_padding": True,
    }  # fmt: skip
    config = transformers.DPTConfig(
        hidden_size=8, num_hidden_layers=4, num_attention_heads=2, intermediate_size=8,
        image_size=32, patch_size=16, neck_hidden_sizes=[32, 32, 8, 8], fusion_hidden_size=8,
        backbone_out_indices=[0, 1, 2, 3], is_hybrid=True, backbone_config=backbone,
        backbone_featmap_shape=[1, 32, 2, 2],
    )  # fmt: skip
    return transformers.DPTForDepthEstimation(config)


@pytest.mark.parametrize(
    "entries",
    [
        {"backbone": "owner/model", "use_pretrained_backbone": True},
        {"backbone": "resnet18", "use_timm_backbone": True, "backbone_kwargs": {"pretrained": 1}},
    ],
    ids=["of the Hub", "of another package"],
)
def test_a_depth_estimator_names_no_other_checkpoint(
    tmp_path: Path, edit: Callable[..., None], entries: dict[str, Any]
) -> None:
    model, pixels = depth_estimator().eval(), torch.ones(1, 3, 32, 32)
    save_model(model, tmp_path / "depth", SaveOptions())
    edit(tmp_path / "depth" / "config.json", **entries)
    again = load(type(model), tmp_path / "depth")
    assert torch.equal(again(pixels).predicted_depth, model(pixels).predicted_depth)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"backbone_config": {"model_type": "timm_backbone"}}, "whose model_type is 'bit'"),
        ({"num_channels": 4}, "'num_channels' in .* must be 3, not 4"),
        ({"backbone_out_indices": None}, "'backbone_out_indices' in .* not None"),
        ({"head_in_index": -5}, "'head_in_index' in .* not -5"),
    ],
)
def test_a_depth_estimator_that_can_not_run_is_refused(
    tmp_path: Path, edit: Callable[..., None], entries: dict[str, Any], words: str
) -> None:
    save_model(depth_estimator(), tmp_path / "depth", SaveOptions())
    edit(tmp_path / "depth" / "config.json", **entries)
    with pytest.raises(ConfigError, match=words):
        load(transformers.DPTForDepthEstimation, tmp_path / "depth")


NETWORKS: dict[str, Callable[[], tuple[Any, Callable[[Any], Any]]]] = {
    "text": lambda: (
        transformers.CLIPTextModelWithProjection(text_encoder().config),
        lambda model: model(IDS),
    ),
    "vision": lambda: (
        transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**small(image_size=8, patch_size=4))
        ),
        lambda model: model(torch.ones(1, 3, 8, 8)),
    ),
    "t5": lambda: (
        transformers.T5EncoderModel(
            transformers.T5Config(
                d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=20
            )
        ),
        lambda model: model(IDS),
    ),
}
FEW = ("null", "negative", "zero", "nan", "text", "object", "large")


@pytest.mark.parametrize("tokens", [None, [1, 2], 1])
def test_configs_of_other_models_are_theirs(tmp_path: Path, tokens: Any) -> None:
    """A language model may have no such token, or several."""
    config = Qwen3Config(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, head_dim=4,
        num_attention_heads=2, num_key_value_heads=1, eos_token_id=tokens, pad_token_id=None,
    )  # fmt: skip
    model = Qwen3Model(config).eval()
    save_model(model, tmp_path / "text_encoder", SaveOptions())
    again = load(Qwen3Model, tmp_path / "text_encoder")
    assert torch.equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_a_tokenizer_that_is_not_listed_needs_a_vocabulary_too(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    letters = {letter: number for number, letter in enumerate("abc")}
    tokenizer = Qwen2Tokenizer(vocab=letters, merges=[], pad_token=None)
    tokenizer.save_pretrained(folder)
    # What a family claims need not be padded.
    assert load(Qwen2Tokenizer, folder)("cab").input_ids == [2, 0, 1]
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DamagedFileError, match="has no vocabulary"):
        load(Qwen2Tokenizer, folder)


@pytest.mark.parametrize("kind", [CLIPTextModel, Qwen3Model])
def test_too_many_layers_are_refused_before_they_are_built(tmp_path: Path, kind: Any) -> None:
    config = {**kind.config_class().to_dict(), "num_hidden_layers": 10_000_000}
    with pytest.raises(ConfigError, match=r"'num_hidden_layers' in .* from 0 to 1,024"):
        compat.build(kind, config, tmp_path)


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_entry_with_every_value_works_or_is_named(tmp_path: Path, kind: str) -> None:
    model, use = NETWORKS[kind]()
    save_model(model.eval(), tmp_path / kind, SaveOptions())
    file = tmp_path / kind / "config.json"
    original = json.loads(file.read_text())
    for name in {*original, *NetworkEntries.model_fields}:
        for word, value in JSON.items():
            if kind == "text" or word in FEW:
                file.write_text(json.dumps({**original, name: value}))
                error = refusal(lambda: use(load(type(model), file.parent)))
                misfit = isinstance(error, WeightsMismatchError)
                assert error is None or says(error, str(file.parent), "" if misfit else name)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"num_attention_heads": 0}, "where num_attention_heads is 0"),
        ({"hidden_act": "os.system"}, "where hidden_act is 'os.system'"),
        ({"hidden_size": "wide"}, "where hidden_size is 'wide'"),
        ({"layer_norm_eps": None}, r"'layer_norm_eps' in .* not None;"),
        ({"num_hidden_layers": -1}, r"'num_hidden_layers' in .* not -1;"),
        ({"num_attention_heads": -1}, r"'num_attention_heads' in .* not -1;"),
        ({"layer_norm_eps": float("nan")}, r"'layer_norm_eps' in .* not nan;"),
        ({"eos_token_id": None}, r"'eos_token_id' in .* not None;"),
    ],
)
def test_the_entry_that_is_wrong_is_told(
    folder: Path, edit: Callable[..., None], entries: dict[str, Any], words: str
) -> None:
    edit(folder / "config.json", **entries)
    with pytest.raises(ConfigError, match=words) as caught:
        load(CLIPTextModel, folder)
    assert str(folder / "config.json") in str(caught.value)


def test_the_entry_of_a_half_is_told(tmp_path: Path, edit: Callable[..., None]) -> None:
    halves = {"text_config": text_encoder().config.to_dict(), "vision_config": small(patch_size=4)}
    config = {**halves, "projection_dim": 8}
    config["vision_config"]["num_attention_heads"] = 0
    with pytest.raises(ConfigError, match=r"where vision_config\.num_attention_heads is 0"):
        compat.build(transformers.CLIPModel, config, tmp_path)


def test_a_config_that_asks_for_tuples_still_gives_names(
    folder: Path, edit: Callable[..., None]
) -> None:
    edit(folder / "config.json", return_dict=False)
    assert load(CLIPTextModel, folder)(IDS).last_hidden_state is not None


# Tokenizers


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    words = ["a</w>", "b</w>", "a", "b", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 7}))
    return folder


def test_a_tokenizer_is_made_of_its_folder_alone(tokenizer: Path) -> None:
    loaded = load(CLIPTokenizer, tokenizer)
    assert loaded("a b").input_ids == [4, 0, 1, 5]
    assert loaded.model_max_length == 7


@pytest.mark.parametrize("place", ["/etc/passwd", "../secret.json", "a/b"])
def test_a_tokenizer_reads_no_file_outside(
    tokenizer: Path, edit: Callable[..., None], place: str
) -> None:
    edit(tokenizer / "tokenizer_config.json", vocab_file=place)
    with pytest.raises(UnsafeCheckpointError, match="vocab_file"):
        load(CLIPTokenizer, tokenizer)


def test_a_tokenizer_without_its_files_says_what_is_there(tokenizer: Path) -> None:
    (tokenizer / "vocab.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"merges\.txt"):
        load(CLIPTokenizer, tokenizer)


@pytest.mark.parametrize("package", ["sentencepiece", "protobuf"])
def test_an_absent_package_is_named(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(b"not read")
    for name in ("sentencepiece", "protobuf"):
        there = name != package
        monkeypatch.setattr(f"transformers.utils.is_{name}_available", lambda there=there: there)
    with pytest.raises(CheckpointError, match=f"pip install {package}"):
        load(transformers.T5Tokenizer, folder)


def test_an_image_processor_loads_and_is_found_by_its_old_name(tmp_path: Path) -> None:
    cls: Any = compat.find_class("CLIPFeatureExtractor")
    assert cls is not None
    cls(size={"shortest_edge": 31}).save_pretrained(tmp_path / "feature_extractor")
    assert load(cls, tmp_path / "feature_extractor").size["shortest_edge"] == 31
