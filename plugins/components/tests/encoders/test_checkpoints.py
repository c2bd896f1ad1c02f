"""Encoders read and write the checkpoints of transformers' classes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.encoders import CASES, IDS, T5_MODEL, TEXT, TEXT_MODEL, VARIANTS, VISION, Case, tensors
from support.odd import JSON, refusal, says

from autopipe.errors import ConfigError, WeightsMismatchError
from autopipe_components.encoders.clip import CLIPHalves
from autopipe_components.encoders.clip_text import CLIPTextModel, CLIPTextModelWithProjection
from autopipe_components.encoders.clip_vision import CLIPVisionModel, CLIPVisionModelWithProjection

WEIGHTS = "model.safetensors"
FEW = ("null", "negative", "zero", "nan", "text", "object", "large", "fraction")


def call(case: Case, encoder: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return tensors(encoder(**next(iter(case.inputs.values()))))


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def edit(file: Path, **entries: Any) -> None:
    content = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**content, **entries}), "utf-8")


def config_in(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    content.pop("transformers_version", None)
    return content


@pytest.mark.parametrize("name", VARIANTS)
def test_they_save_what_transformers_saves(name: str, tmp_path: Path) -> None:
    case = VARIANTS[name]
    ours, theirs = case.pair(torch.bfloat16)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    found, expected = (load_file(tmp_path / one / WEIGHTS) for one in ("ours", "theirs"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert config_in(tmp_path / "ours") == config_in(tmp_path / "theirs")


@pytest.mark.parametrize("name", CASES)
def test_each_loads_what_the_other_saved(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    ours, theirs = case.pair()
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    expected = call(case, theirs)
    assert same(call(case, case.ours.from_pretrained(tmp_path / "theirs")), expected)
    assert same(call(case, case.theirs.from_pretrained(tmp_path / "ours").eval()), expected)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("options", [{"max_shard_size": 4096}, {"safe_serialization": False}])
def test_shards_and_pickles(options: dict[str, Any], tmp_path: Path) -> None:
    ours, _ = TEXT_MODEL.pair()
    ours.save_pretrained(tmp_path, **options)
    names = {file.name for file in tmp_path.iterdir()}
    assert names & {"model.safetensors.index.json", "pytorch_model.bin"}
    again = CLIPTextModel.from_pretrained(tmp_path)
    assert same(call(TEXT_MODEL, again), call(TEXT_MODEL, ours))
    theirs = transformers.CLIPTextModel.from_pretrained(tmp_path).eval()
    assert same(call(TEXT_MODEL, theirs), call(TEXT_MODEL, ours))


@pytest.mark.parametrize("cls", [CLIPTextModel, CLIPTextModelWithProjection])
@pytest.mark.parametrize("prefixed", [True, False])
def test_names_of_every_release_load(cls: Any, prefixed: bool, tmp_path: Path) -> None:
    encoder = cls(**TEXT)
    encoder.save_pretrained(tmp_path)
    state = {}
    for name, tensor in load_file(tmp_path / WEIGHTS).items():
        bare = name.removeprefix("text_model.")
        is_inside = prefixed and bare != "text_projection.weight"
        state[f"text_model.{bare}" if is_inside else bare] = tensor
    ids = "text_model.embeddings.position_ids" if prefixed else "embeddings.position_ids"
    save_file({**state, ids: torch.arange(12)[None]}, tmp_path / WEIGHTS)
    again = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(again[1].values())
    own = encoder.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in again[0].state_dict().items())


def test_a_half_of_a_whole_clip_loads(tmp_path: Path) -> None:
    both = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=6)
    clip = transformers.CLIPModel(both).eval()
    clip.save_pretrained(tmp_path)
    text, image = (cls.from_pretrained(tmp_path) for cls in (CLIPTextModel, CLIPVisionModel))
    pixels = torch.randn(1, 3, 14, 14)
    assert torch.equal(text(IDS).pooler_output, clip.text_model(IDS).pooler_output)
    assert torch.equal(image(pixels).pooler_output, clip.vision_model(pixels).pooler_output)
    projected = CLIPTextModelWithProjection.from_pretrained(tmp_path)
    assert torch.equal(projected(IDS).text_embeds, clip.get_text_features(IDS).pooler_output)
    assert projected.config.projection_dim == 6
    projected = CLIPVisionModelWithProjection.from_pretrained(tmp_path)
    # The weights in the file begin at other addresses, and so are added in another order.
    expected = clip.get_image_features(pixels).pooler_output
    assert torch.allclose(projected(pixels).image_embeds, expected, atol=1e-5)


def test_a_float16_t5_keeps_its_output_matrices_in_float32(tmp_path: Path) -> None:
    T5_MODEL.pair()[0].save_pretrained(tmp_path)
    for dtype, wo in ((torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)):
        loaded = T5_MODEL.ours.from_pretrained(tmp_path, torch_dtype=dtype)
        expected = transformers.T5EncoderModel.from_pretrained(tmp_path, dtype=dtype)
        for encoder in (loaded, expected):
            feed_forward = encoder.encoder.block[0].layer[1].DenseReluDense
            assert feed_forward.wo.weight.dtype is wo
            assert feed_forward.wi_0.weight.dtype is dtype
        assert loaded.config.dtype is dtype
        assert same(call(T5_MODEL, loaded), call(T5_MODEL, expected.eval()))


def test_no_module_of_transformers_is_imported(tmp_path: Path) -> None:
    code = "import sys, importlib\n"
    for name, case in CASES.items():
        case.pair()[0].save_pretrained(tmp_path / name)
        code += (
            f"cls = importlib.import_module({case.ours.__module__!r}).{name}\n"
            f"cls.from_pretrained({str(tmp_path / name)!r}).save_pretrained('saved')\n"
        )
    code += "sys.exit(str([name for name in sys.modules if name.startswith('transformers')] or ''))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr.strip() == ""


# Configs


def test_a_config_can_not_ask_for_code_or_kernels(tmp_path: Path) -> None:
    TEXT_MODEL.pair()[0].save_pretrained(tmp_path)
    edit(
        tmp_path / "config.json",
        auto_map={"AutoModel": "owner/code--module.Class"},
        attn_implementation="owner/kernel",
        _attn_implementation="owner/kernel",
        _name_or_path="/secret/place",
        num_labels=2**20,
        return_dict=False,
    )
    loaded = CLIPTextModel.from_pretrained(tmp_path)
    assert loaded(IDS).last_hidden_state is not None
    entries = loaded.config.to_dict()
    assert not {"auto_map", "attn_implementation", "num_labels", "return_dict"} & entries.keys()
    assert loaded.config.name_or_path == str(tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_every_entry_with_every_value_works_or_is_named(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    case.pair()[0].save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    original = json.loads(file.read_text())
    for entry in original:
        for word in JSON if entry in ("hidden_size", "hidden_act", "eos_token_id") else FEW:
            file.write_text(json.dumps({**original, entry: JSON[word]}))
            error = refusal(lambda: call(case, case.ours.from_pretrained(tmp_path)))
            misfit = isinstance(error, WeightsMismatchError)
            assert error is None or says(error, str(tmp_path), "" if misfit else entry), error


@pytest.mark.parametrize(
    ("name", "entries", "words"),
    [
        ("CLIPTextModel", {"hidden_size": 31}, "hidden_size is 31, .* num_attention_heads, 5"),
        ("CLIPTextModel", {"hidden_act": "os.system"}, "hidden_act is 'os.system'"),
        ("CLIPTextModel", {"eos_token_id": None}, "can't have eos_token_id = None"),
        ("CLIPTextModel", {"quantization_config": {"a": 1}}, "quantized"),
        ("CLIPTextModelWithProjection", {"projection_dim": None}, "projection_dim is None"),
        ("CLIPVisionModel", {"patch_size": 15}, "patch_size is 15"),
        ("T5EncoderModel", {"feed_forward_proj": "a-b"}, "feed_forward_proj is 'a-b'"),
        ("T5EncoderModel", {"is_decoder": True}, "is_decoder is true"),
        ("T5EncoderModel", {"relative_attention_max_distance": 2}, "a quarter of"),
        ("XLMRobertaModel", {"pad_token_id": 16}, "less than max_position_embeddings, 16"),
        ("XLMRobertaModel", {"add_cross_attention": True}, "add_cross_attention is true"),
    ],
)
def test_a_config_that_makes_no_sense_is_told(
    name: str, entries: dict[str, Any], words: str, tmp_path: Path
) -> None:
    case = CASES[name]
    case.pair()[0].save_pretrained(tmp_path)
    edit(tmp_path / "config.json", **entries)
    with pytest.raises(ConfigError, match=words) as caught:
        case.ours.from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


class Halves(CLIPHalves):
    """Without layers."""

    def make_layers(self) -> None:
        pass


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"text_config": {"hidden_size": 16}, "vision_config": {"hidden_size": 24}},
        {"vision_config": {"image_size": 336}, "vision_config_dict": {"hidden_size": 24}},
        {"text_config_dict": {"hidden_size": 16}, "vision_config_dict": None},
    ],
)
def test_the_halves_of_a_clip_config_are_those_of_transformers(entries: dict[str, Any]) -> None:
    ours, theirs = Halves(entries).config, transformers.CLIPConfig.from_dict(dict(entries))
    for half in ("text_config", "vision_config"):
        for name in ("hidden_size", "hidden_act", "model_type"):
            assert getattr(getattr(ours, half), name) == getattr(getattr(theirs, half), name)
    assert ours.vision_config.image_size == theirs.vision_config.image_size
    assert ours.to_dict().keys() == theirs.to_diff_dict().keys() - {"transformers_version"}
