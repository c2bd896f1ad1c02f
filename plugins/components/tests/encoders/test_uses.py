"""What programs do with the encoders of transformers works with ours."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_submodules
from support.encoders import (
    CASES,
    CLIP,
    IDS,
    MASK,
    T5_MODEL,
    TEXT,
    TEXT_MODEL,
    TEXT_PROJECTION,
    VISION_MODEL,
    Case,
    tensors,
)

from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError, MissingPackageError

EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def inputs(case: Case) -> dict[str, Any]:
    return list(case.inputs.values())[0 if case is VISION_MODEL else 1]


def call(case: Case, encoder: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return tensors(encoder(**inputs(case)))


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# Configs


@EVERY
def test_a_config_reads_like_that_of_transformers(case: Case, tmp_path: Path) -> None:
    ours, theirs = (encoder.config for encoder in case.pair())
    for name in (*theirs.to_dict(), "use_return_dict", "hidden_size", "num_hidden_layers"):
        if name not in ("_name_or_path", "id2label", "label2id", "dtype", "transformers_version"):
            assert getattr(ours, name) == getattr(theirs, name, True), name
    assert ours["model_type" if "model_type" in ours else next(iter(ours))] is not None
    assert json.loads(ours.to_json_string()) == ours.to_dict() == ours.to_diff_dict()
    ours.save_pretrained(tmp_path)
    assert type(theirs).from_pretrained(tmp_path).hidden_size == theirs.hidden_size
    assert ours.get("nothing", 3) == 3
    assert not hasattr(ours, "nothing")


def test_an_encoder_is_made_of_a_config() -> None:
    theirs = transformers.CLIPTextConfig(**TEXT)
    given = TEXT_MODEL.ours(**TEXT).config
    for config in (theirs, given, TEXT, theirs.to_dict()):
        for made in (TEXT_MODEL.ours(config), TEXT_MODEL.ours.from_config(config)):
            assert made.config.to_dict() == given.to_dict()
    assert TEXT_MODEL.ours(theirs, hidden_size=10).config.hidden_size == 10
    with pytest.raises(ArgumentTypeError, match="takes a config"):
        TEXT_MODEL.ours(3)
    with pytest.raises(ArgumentTypeError, match="wide"):
        TEXT_MODEL.ours(wide=3)


def test_entries_can_be_set() -> None:
    encoder = T5_MODEL.pair()[0]
    encoder.config.use_attention_mask = True
    encoder.config.update({"dropout_rate": 0.5})
    encoder.config.hidden_size = 24
    assert encoder.config.use_attention_mask
    assert (encoder.config.d_model, encoder.config.dropout_rate) == (24, 0.5)
    with pytest.raises(ConfigError, match="d_model"):
        encoder.config.hidden_size = "wide"


# Outputs


@EVERY
@torch.no_grad()
def test_outputs_have_names_keys_and_places(case: Case) -> None:
    encoder = case.pair()[0]
    output = encoder(**inputs(case), output_hidden_states=True)
    as_tuple = encoder(**inputs(case), output_hidden_states=True, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == len(output.to_tuple()) == len(output)
    assert output[0] is output[next(iter(output))]
    assert output["last_hidden_state"] is output.last_hidden_state
    assert output[-1] is output.hidden_states
    assert len(output.hidden_states) == encoder.config.num_hidden_layers + 1
    assert output.attentions is None
    assert encoder(**inputs(case)).hidden_states is None
    encoder.config.output_hidden_states = True
    assert encoder(**inputs(case)).hidden_states is not None
    with pytest.raises(ArgumentError, match="to_transformers"):
        encoder(**inputs(case), output_attentions=True)


@torch.no_grad()
def test_layers_can_be_skipped_as_programs_do() -> None:
    ours, theirs = TEXT_MODEL.pair()
    states = ours(IDS, output_hidden_states=True).hidden_states
    expected = theirs(IDS, output_hidden_states=True).hidden_states
    found = ours.text_model.final_layer_norm(states[-2])
    assert torch.equal(found, theirs.final_layer_norm(expected[-2]))


@EVERY
def test_bad_calls_are_told(case: Case) -> None:
    encoder = case.pair()[0]
    with pytest.raises(ArgumentError, match="needs"):
        encoder()
    if "input_ids" in inputs(case):
        with pytest.raises(ArgumentError, match="attention_mask has the shape"):
            encoder(IDS, attention_mask=MASK[None])
    if case.config.get("max_position_embeddings"):
        with pytest.raises(ArgumentError, match=r"20 tokens, but this text encoder reads \d+"):
            encoder(torch.full((1, 20), 5))
    if "image_size" in case.config:
        with pytest.raises(ArgumentError, match="14 x 14"):
            encoder(torch.zeros(1, 3, 8, 8))


# Parts and embeddings


@EVERY
def test_parts_have_the_names_of_transformers(case: Case) -> None:
    ours, theirs = case.pair()
    names = {name for name, _ in theirs.named_modules() if "act" not in name.rpartition(".")[2]}
    assert names <= {name for name, _ in ours.named_modules()}
    assert ours.num_parameters() == theirs.num_parameters()
    assert ours.main_input_name == theirs.main_input_name


def test_a_text_model_is_its_own_part() -> None:
    for case in (TEXT_MODEL, TEXT_PROJECTION):
        encoder = case.pair()[0]
        tokens = encoder.text_model.embeddings.token_embedding
        assert tokens is encoder.get_input_embeddings()
        assert encoder.text_model.encoder.layers[0].self_attn.q_proj is not None
    image = VISION_MODEL.pair()[0]
    assert image.vision_model.embeddings.patch_embedding is image.get_input_embeddings()


@pytest.mark.parametrize("name", [name for name in CASES if "Vision" not in name])
@torch.no_grad()
def test_token_embeddings_are_read_set_and_resized(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    encoder = case.pair()[0].requires_grad_(False)
    old = encoder.get_input_embeddings()
    before = old.weight.clone()
    count = len(before)
    new = encoder.resize_token_embeddings(count + 3)
    assert encoder.get_input_embeddings() is new
    assert torch.equal(new.weight[:count], before)
    assert new.weight[count:].std() > 0
    assert not new.weight.requires_grad
    assert encoder.config.vocab_size == new.num_embeddings == count + 3
    assert encoder(torch.full((1, 2), count + 2))[0].isfinite().all()
    encoder.save_pretrained(tmp_path)
    assert case.theirs.from_pretrained(tmp_path).config.vocab_size == count + 3
    assert encoder.resize_token_embeddings(count, pad_to_multiple_of=8).num_embeddings == 56
    assert encoder.resize_token_embeddings() is encoder.get_input_embeddings()
    assert torch.equal(encoder.resize_token_embeddings(count).weight, before)
    encoder.set_input_embeddings(old)
    assert encoder.get_input_embeddings() is old
    assert all(encoder.get_submodule(path) is old for path in encoder.embedding_paths)
    with pytest.raises(ArgumentError, match="at least 1"):
        encoder.resize_token_embeddings(0)


def test_an_image_encoder_has_no_tokens() -> None:
    with pytest.raises(ArgumentError, match="no tokens"):
        VISION_MODEL.pair()[0].resize_token_embeddings(3)


# Training


@EVERY
def test_gradient_checkpointing_changes_no_gradient(case: Case) -> None:
    encoder = case.pair()[0]
    found = []
    for enable in (False, True):
        if enable:
            encoder.gradient_checkpointing_enable()
        assert encoder.is_gradient_checkpointing is enable
        encoder.zero_grad()
        encoder(**inputs(case))[0].square().sum().backward()
        found.append([None if p.grad is None else p.grad.clone() for p in encoder.parameters()])
    encoder.gradient_checkpointing_disable()
    assert not encoder.is_gradient_checkpointing
    assert all((a is None and b is None) or torch.allclose(a, b) for a, b in zip(*found))


def test_modes_and_flags_are_those_of_torch() -> None:
    encoder = TEXT_PROJECTION.pair()[0]
    assert encoder.train().text_model.training
    assert not encoder.eval().text_model.training
    encoder.requires_grad_(False)
    encoder.text_model.embeddings.token_embedding.weight.requires_grad_(True)
    encoder(IDS).text_embeds.sum().backward()
    trained = [name for name, one in encoder.named_parameters() if one.grad is not None]
    assert trained == ["text_model.embeddings.token_embedding.weight"]


class Layer(torch.nn.Module):
    """Stands for a layer of peft."""

    def __init__(self, base: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.base_layer, self.name, self.is_on, self.active = base, name, True, None

    def enable_adapters(self, enabled: bool) -> None:
        self.is_on = enabled

    def set_adapter(self, names: Any) -> None:
        self.active = names

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.base_layer(states)
        return found + 1 if self.is_on else found


@torch.no_grad()
def test_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for peft, which the tests don't require."""

    def inject(config: str, model: Any, name: str) -> None:
        model.peft_config = {**getattr(model, "peft_config", {}), name: config}
        for layer in model.encoder.layers:
            layer.mlp.fc1 = Layer(layer.mlp.fc1, name)

    peft = ModuleType("peft")
    peft.inject_adapter_in_model = inject  # type: ignore[attr-defined]
    peft.tuners = SimpleNamespace(  # type: ignore[attr-defined]
        tuners_utils=SimpleNamespace(BaseTunerLayer=Layer)
    )
    encoder = TEXT_MODEL.pair()[0]
    plain = encoder(IDS)[0]
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackageError, match="pip install peft"):
        encoder.add_adapter("a config")
    monkeypatch.setitem(sys.modules, "peft", peft)
    encoder.add_adapter("a config", "new")
    layer = encoder.encoder.layers[0].mlp.fc1
    assert layer.active == "new"
    assert not torch.equal(encoder(IDS)[0], plain)
    encoder.disable_adapters()
    assert torch.equal(encoder(IDS)[0], plain)
    encoder.enable_adapters()
    assert not torch.equal(encoder(IDS)[0], plain)
    for act in (encoder.add_adapter, lambda name, _: encoder.set_adapter(_)):
        with pytest.raises(ArgumentError, match="called"):
            act("a config", "new" if act == encoder.add_adapter else "absent")
    with pytest.raises(ArgumentError, match="adapters"):
        encoder.to_transformers()


# Copies and places


@EVERY
def test_copies_and_pickles_give_the_same(case: Case) -> None:
    encoder = case.pair()[0]
    expected = call(case, encoder)
    for again in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert same(call(case, again), expected)
        assert again.config.to_dict() == encoder.config.to_dict()
        assert next(again.parameters()) is not next(encoder.parameters())


def test_casts() -> None:
    encoder = T5_MODEL.pair()[0]
    assert encoder.half().dtype is torch.float16
    assert encoder.to(torch.bfloat16).dtype is torch.bfloat16
    assert encoder.float().dtype is torch.float32
    assert encoder.device == torch.device("cpu")
    assert encoder.get_memory_footprint() > encoder.num_parameters() * 4 - 1


@EVERY
def test_offloaded_layer_by_layer(case: Case) -> None:
    encoder = case.pair()[0]
    expected = call(case, encoder)
    cpu_offload(encoder, torch.device("cpu"))
    assert next(encoder.parameters()).is_meta
    assert same(call(case, encoder), expected)
    remove_hook_from_submodules(encoder)


@EVERY
def test_device_maps(case: Case, tmp_path: Path) -> None:
    encoder = case.pair()[0]
    encoder.save_pretrained(tmp_path)
    sizes = {"cpu": encoder.get_memory_footprint() // 2, "disk": "1GB"}
    loaded = case.ours.from_pretrained(
        tmp_path,
        device_map="auto",
        max_memory={"cpu": sizes["cpu"]},
        offload_folder=tmp_path / "offload",
    )
    assert "disk" in map(str, loaded.hf_device_map.values())
    assert same(call(case, loaded), call(case, case.ours.from_pretrained(tmp_path)))


@EVERY
def test_a_graph_without_breaks(case: Case) -> None:
    encoder = case.pair()[0]
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    found = call(case, compiled)
    # A recorded graph has a mask, because it can't know that all tokens are read.
    for ours, expected in zip(found, call(case, encoder), strict=True):
        assert torch.allclose(ours, expected, atol=1e-5)


class Traced(torch.nn.Module):
    """Has only tensors as inputs and outputs."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: tuple[torch.Tensor, ...] = self.encoder(*given, return_dict=False)
        return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in CASES if "Vision" not in name])
@torch.no_grad()
def test_a_traced_graph_serves_other_texts_and_masks(name: str) -> None:
    encoder = CASES[name].pair()[0]
    for mask in ((), (torch.ones_like(MASK),)):
        traced = torch.jit.trace(Traced(encoder), (IDS, *mask), check_trace=False)
        other = (IDS.flip(0), MASK) if mask else (IDS.flip(0),)
        for found, expected in zip(traced(*other), tensors(encoder(*other)), strict=True):
            assert torch.allclose(found, expected, atol=1e-5)


# The object of transformers


@EVERY
def test_the_object_of_transformers_shares_every_parameter(case: Case) -> None:
    encoder = case.pair()[0].to(torch.bfloat16).requires_grad_(False)
    next(encoder.parameters()).requires_grad_(True)
    made = encoder.to_transformers()
    assert type(made) is case.theirs
    own = dict(encoder.named_parameters(remove_duplicate=False))
    for name, parameter in made.named_parameters(remove_duplicate=False):
        assert parameter is own[name]
    assert [one.requires_grad for one in encoder.parameters()].count(True) == 1
    assert made.dtype is torch.bfloat16
    assert not made.training
    assert encoder.train().to_transformers().training
    assert same(call(case, made), call(case, encoder.eval()))


def test_attention_weights_of_the_object_of_transformers() -> None:
    made = TEXT_MODEL.pair()[0].to_transformers()
    made.set_attn_implementation("eager")
    weights = made(IDS, output_attentions=True).attentions
    assert len(weights) == CLIP["num_hidden_layers"]
