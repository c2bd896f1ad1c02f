"""What the reader reports, and what it refuses."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
import torch
from support import lora_files as written
from torch import Tensor, nn

from autopipe.errors import (
    ArgumentTypeError,
    ConfigError,
    DamagedFileError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
)
from autopipe_lora.formats import LoraFile, read_lora

PATH = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
A, B = f"unet.{PATH}.lora_A.weight", f"unet.{PATH}.lora_B.weight"
FLAT = "lora_unet_" + PATH.replace(".", "_")


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return written.networks()


@pytest.fixture
def pair() -> dict[str, Tensor]:
    """A file with one layer, which fits."""
    return {A: torch.ones(2, 16), B: torch.ones(16, 2)}


def read(tensors: Any, networks: Any, metadata: Any = None) -> LoraFile:
    return read_lora(tensors, {} if metadata is None else metadata, networks)


def test_the_report_has_every_key(networks: Any, pair: dict[str, Tensor]) -> None:
    others = {
        "unet.no.such.layer.lora_A.weight": torch.ones(2, 16),
        "unet.no.such.layer.lora_B.weight": torch.ones(16, 2),
        "text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight": torch.ones(2, 16),
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": torch.tensor(1.0),
    }
    skipped = {
        "unet.conv_in.bias": torch.ones(16),
        "unet.conv_in.weight": torch.ones(16, 4, 3, 3),
        "lora_unet_conv_norm_out.w_norm": torch.ones(16),
        "bundle_emb.ink.string_to_param.*": torch.ones(2, 16),
        "hello": torch.ones(2),
        "x" * 100_000 + ".lora_A.weight": torch.ones(2, 2),
    }
    report = read(pair | others | skipped, networks).report
    assert report.matched == tuple(pair)
    assert report.unmatched == tuple(others)
    assert list(report.skipped) == list(skipped)
    assert "replace" in report.skipped["unet.conv_in.bias"]
    assert "textual inversion" in report.skipped["bundle_emb.ink.string_to_param.*"]
    assert "normalisation" in report.skipped["lora_unet_conv_norm_out.w_norm"]
    assert report.skipped["hello"] == "its name is unknown"


def test_an_alpha_of_each_layer_counts(networks: Any) -> None:
    of = written.changes(networks, rank=len, alpha=lambda path: len(path) / 2)
    layers = read(written.scripts(of), networks).layers
    assert {layer.scale for one in layers.values() for layer in one.values()} == {0.5}


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"unet.lora_alpha": 3}, 1.5),
        ({"lora_alpha": 3, "r": 2}, 1.5),
        ({"unet.r": 2}, 4.0),  # peft's alpha is 8 if none is given.
        ({"text_encoder.lora_alpha": 3}, 1.0),
        ({"unet.lora_alpha": 3, "unet.use_rslora": True}, 3 / 2**0.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {"to_k": 5}}, 2.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {"^to_k": 5}}, 1.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {f"^{PATH}": 5}}, 2.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {"attn2.to_k": 5, "to_k": 7}}, 2.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {"to_k": 7, "attn2.to_k": 5}}, 3.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {r"down.*\.to_k": 7}}, 3.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {r"^down.*\.to_k$": 7}}, 3.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {r"^attn.*\.to_k": 7}}, 1.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {r"attn.*\.to_k": 7}}, 3.5),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {r"o_k": 7}}, 1.5),
    ],
)
def test_settings_of_peft(
    networks: Any, pair: dict[str, Tensor], settings: dict[str, Any], scale: float
) -> None:
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    assert read(pair, networks, metadata).layers["unet"][PATH].scale == pytest.approx(scale)


def test_an_alpha_in_the_file_comes_before_settings(networks: Any) -> None:
    tensors = {
        f"{FLAT}.lora_down.weight": torch.ones(2, 16),
        f"{FLAT}.lora_up.weight": torch.ones(16, 2),
        f"{FLAT}.alpha": torch.tensor(4.0),
    }
    metadata = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 3})}
    assert read(tensors, networks, metadata).layers["unet"][PATH].scale == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ('{"a":' * 100_000, "not a JSON object"),
        (json.dumps({"unet.lora_alpha": [0] * 2_000_000}), "not a JSON object"),
        ("\ud800", "not a JSON object"),
        (5, "not a JSON object"),
        ('{"unet.lora_alpha": "2"}', "lora_alpha is '2'"),
        ('{"unet.lora_alpha": NaN}', "finite"),
        ('{"unet.lora_alpha": 1e999}', "finite"),
        (f'{{"unet.lora_alpha": {"9" * 4000}}}', "finite"),
        (f'{{"unet.lora_alpha": {"9" * 9999}}}', "not a JSON object"),
        ('{"unet.lora_alpha": true}', "lora_alpha is True"),
        ('{"unet.alpha_pattern": [1]}', "must be an object"),
        ('{"unet.alpha_pattern": {"to_k": null}}', "must be a number"),
        ('{"unet.alpha_pattern": {"(a+)+$": 1}}', "only names"),
        ('{"unet.alpha_pattern": {"a*b": 1}}', "only names"),
        (json.dumps({"unet.alpha_pattern": {f"a{i}.*b": 1 for i in range(200)}}), "200 expr"),
        ('{"unet.use_rslora": 1}', "true or false"),
    ],
)
def test_unusable_settings(networks: Any, pair: dict[str, Tensor], text: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(pair, networks, {"lora_adapter_metadata": text})


def test_patterns_need_no_backtracking(networks: Any) -> None:
    """With backtracking, this test would take years."""
    tensors = written.peft(written.changes(networks))
    patterns = {".*a" * 300 + f"{i}": 1 for i in range(100)}
    metadata = {"lora_adapter_metadata": json.dumps({"unet.alpha_pattern": patterns})}
    layers = read(tensors, networks, metadata).layers["unet"]
    assert {layer.scale for layer in layers.values()} == {4.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({B: None}, "lora_A|down, but no up"),
        ({A: None}, "up, but no down"),
        ({A: torch.ones(0, 16)}, r"its down has shape \(0, 16\)"),
        ({A: torch.tensor(1.0)}, r"its down has shape \(\)"),
        ({B: torch.ones(16)}, r"its up has shape \(16,\)"),
        ({A: torch.ones(2, 16, dtype=torch.int8)}, "int8"),
        ({A: torch.ones(2, 16, dtype=torch.complex64)}, "complex64"),
        ({A: torch.ones(2, 16, device="meta")}, "plain values"),
        ({f"unet.{PATH}.alpha": torch.tensor(float("nan"))}, "alpha is nan"),
        ({f"unet.{PATH}.alpha": torch.tensor(float("inf"))}, "alpha is inf"),
        ({f"unet.{PATH}.alpha": torch.ones(2)}, "alpha has shape"),
        ({f"unet.{PATH}.alpha": torch.ones(0)}, "alpha has shape"),
        ({f"unet.{PATH}.lokr_w1": torch.ones(2, 2)}, "another kind"),
        ({f"unet.{PATH}.lora.down.weight": torch.ones(2, 16)}, "the same"),
        ({f"{FLAT}.lora_down.weight": torch.ones(2, 16)}, "twice"),
        ({A: None, B: None, f"{FLAT}.alpha": torch.tensor(1.0)}, "no matrices"),
        ({A: None, B: None, f"{FLAT}.hada_w1_a": torch.ones(2, 2)}, "but no hada_w1_b"),
        ({A: None, B: None, f"{FLAT}.lokr_w1": torch.ones(2, 2)}, "but no lokr_w2"),
        (
            {
                f"unet.{PATH}.dora_scale": torch.ones(16, 1),
                f"unet.{PATH}.lora_magnitude_vector": torch.ones(16),
            },
            "which are the same",
        ),
    ],
)
def test_damaged_files(
    networks: Any, pair: dict[str, Tensor], changes: dict[str, Any], message: str
) -> None:
    tensors = {key: one for key, one in (pair | changes).items() if one is not None}
    with pytest.raises(DamagedFileError, match=message):
        read(tensors, networks)


def test_sparse_tensors(networks: Any, pair: dict[str, Tensor]) -> None:
    with pytest.raises(DamagedFileError, match="plain values"):
        read({**pair, A: torch.ones(2, 16).to_sparse()}, networks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({A: torch.ones(3, 16)}, r"its up has shape \(16, 2\); the weight asks for \(16, 3\)"),
        ({A: torch.ones(2, 15)}, r"its down has shape \(2, 15\)"),
        ({B: torch.ones(16, 2, 3, 3)}, r"its up has shape \(16, 2, 3, 3\)"),
        ({A: torch.ones(2, 16, 1, 2)}, r"its down has shape \(2, 16, 1, 2\)"),
        ({f"unet.{PATH}.lora_magnitude_vector": torch.ones(2)}, "lora_magnitude|magnitude has"),
        ({f"unet.{PATH}.dora_scale": torch.ones(4, 4)}, "dora_scale has"),
        ({f"unet.{PATH}.lora_B.bias": torch.ones(3)}, "up_bias has"),
        ({f"unet.{PATH}.diff_b": torch.ones(3, 1)}, "diff_b has"),
        ({f"unet.{PATH}.lora_mid.weight": torch.ones(3, 2)}, "mid has"),
    ],
)
def test_shapes_that_do_not_fit(
    networks: Any, pair: dict[str, Tensor], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsMismatchError, match=message) as raised:
        read(pair | changes, networks)
    assert f"unet.{PATH}" in str(raised.value)
    assert "(16, 16)" in str(raised.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"lokr_w1": (3, 4), "lokr_w2": (4, 4)},
        {"lokr_w1": (4, 4), "lokr_w2": (4, 3)},
        {"lokr_w1_a": (4, 2), "lokr_w1_b": (3, 4), "lokr_w2": (4, 4)},
        {"lokr_w1_a": (10_000_000, 1), "lokr_w1_b": (1, 10_000_000), "lokr_w2": (4, 4)},
        {"lokr_w1": (4, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (3, 4)},
        {"lokr_w1": (4, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 4), "lokr_t2": (2, 2, 3, 3)},
        dict.fromkeys(("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), (2, 3)),
        {"diff": (16,)},
    ],
)
def test_shapes_of_other_kinds_that_do_not_fit(
    networks: Any, parts: dict[str, tuple[int, ...]]
) -> None:
    tensors = {f"{FLAT}.{role}": torch.ones(shape) for role, shape in parts.items()}
    with pytest.raises(WeightsMismatchError, match=PATH):
        read(tensors, networks)


def test_no_layer_of_the_pipeline(networks: Any, pair: dict[str, Tensor]) -> None:
    tensors = {key.replace("unet.", "transformer."): one for key, one in pair.items()}
    with pytest.raises(WeightsMismatchError, match="no layer for this pipeline") as raised:
        read(tensors, networks)
    assert f"transformer.{PATH}.lora_A.weight" in str(raised.value)
    assert "unet.conv_in" in str(raised.value)
    assert "text_encoder." in str(raised.value)
    with pytest.raises(WeightsMismatchError, match="it is empty"):
        read({}, networks)
    with pytest.raises(WeightsMismatchError, match=r"'conv_in.weight'"):
        read(networks["unet"].state_dict(), networks)


@pytest.mark.parametrize("authors", [False, True], ids=["diffusers' names", "the authors' names"])
def test_a_file_for_another_model_says_so(networks: Any, authors: bool) -> None:
    """SDXL on Stable Diffusion: some modules are called alike, with other shapes."""

    class Wide(nn.Module):
        """A module of the names and widths of SDXL."""

        def __init__(self) -> None:
            super().__init__()
            self.to_k = nn.Linear(40, 16)

    place = PATH.rpartition(".")[0]
    of = written.changes({"unet": nn.ModuleDict({"x": Wide()})}, (".to_k",))["unet"]
    (change,) = of.values()
    name = written.authors_name(networks["unet"]) if authors else lambda path: path
    tensors = written.scripts({"unet": {f"{place}.to_k": change}}, name=name)
    metadata = {"ss_base_model_version": "sdxl_base_v1-0\x1b[2J"}
    with pytest.raises(WeightsMismatchError, match="a width of 40, and here they have 16") as error:
        read(tensors, networks, metadata)
    assert "trained with 'sdxl_base_v1-0" in str(error.value)
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (f"{FLAT}.oft_blocks", "OFT"),
        (f"{FLAT}.oft_diag", "OFT"),
        (f"unet.{PATH}.boft_R", "OFT"),
        (f"unet.{PATH}.oft_R.weight", "OFT"),
        (f"{FLAT}.on_input", "IA3"),
        (f"unet.{PATH}.ia3_l", "IA3"),
        (f"unet.{PATH}.vera_lambda_b", "VeRA"),
        (f"{FLAT}.a1.weight", "GLoRA"),
        ("lora_controlnet", "Control-LoRA"),
        ("unet:0:up", "2022"),
    ],
)
def test_kinds_that_can_not_be_read(
    networks: Any, pair: dict[str, Tensor], key: str, kind: str
) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=kind):
        read({**pair, key: torch.ones(2, 2)}, networks)


@pytest.mark.parametrize("tensors", [{"a": 1}, {1: torch.ones(1)}, {"a": None}])
def test_only_tensors_by_name(networks: Any, tensors: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="tensors by name"):
        read(tensors, networks)


def test_names_are_shown_safely(networks: Any) -> None:
    with pytest.raises(WeightsMismatchError) as raised:
        read({"\x1b[2J\r\n\u202e.lora_A.weight": torch.ones(2, 2)}, networks)
    assert not {"\x1b", "\r", "\u202e"} & set(str(raised.value))


def test_a_name_that_several_networks_have(networks: Any) -> None:
    both = {"text_encoder": networks["text_encoder"], "text_encoder_2": networks["text_encoder"]}
    path = "encoder.layers.0.mlp.fc1"
    tensors = {
        f"{path}.lora_A.weight": torch.ones(2, 16),
        f"{path}.lora_B.weight": torch.ones(24, 2),
    }
    with pytest.raises(WeightsMismatchError, match=r"text_encoder\.encoder\.layers\.0\.mlp\.fc1"):
        read(tensors, both)


class Fused(nn.Module):
    """A network whose authors compute three projections at once."""

    original_names: ClassVar[dict[str, Any]] = {
        "double.0.qkv": ("blocks.0.q", "blocks.0.k", "blocks.0.v"),
        "double.0": "blocks.0",
        "double.0.proj2": "blocks.0.out",
        "last.proj2": "blocks.0.out",
    }

    def __init__(self) -> None:
        super().__init__()
        rows = {"q": 8, "k": 4, "v": 4, "out": 8}
        block = nn.ModuleDict({name: nn.Linear(8, count) for name, count in rows.items()})
        self.blocks = nn.ModuleList([block])


def test_a_network_class_may_bring_names_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    down, up, bias, magnitude = (
        torch.randn(*shape, generator=generator) for shape in ((2, 8), (16, 2), (16,), (16, 1))
    )
    tensors = {
        "lora_unet_double_0_qkv.lora_down.weight": down,
        "lora_unet_double_0_qkv.lora_up.weight": up,
        "lora_unet_double_0_qkv.lora_up.bias": bias,
        "lora_unet_double_0_qkv.dora_scale": magnitude,
        "lora_unet_double_0_qkv.alpha": torch.tensor(1.0),
        "diffusion_model.double.0.out.lora_A.weight": down,
        "diffusion_model.double.0.out.lora_B.weight": up[:8],
    }
    found = read(tensors, {"transformer": Fused()}).layers["transformer"]
    assert list(found) == ["blocks.0.q", "blocks.0.k", "blocks.0.v", "blocks.0.out"]
    three = list(found.values())[:3]
    assert torch.equal(torch.cat([layer.up for layer in three]), up)
    assert torch.equal(torch.cat([layer.bias for layer in three if layer.bias is not None]), bias)
    found_magnitudes = [layer.magnitude for layer in three if layer.magnitude is not None]
    assert torch.equal(torch.cat(found_magnitudes), magnitude)
    assert all(layer.down is three[0].down for layer in three)
    assert [layer.scale for layer in found.values()] == [0.5, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("block", ["double.0", "last"])
def test_a_module_may_have_several_names_and_processors_number_their_streams(block: str) -> None:
    tensors = {
        f"{block}.processor.proj_lora2.down.weight": torch.ones(2, 8),
        f"{block}.processor.proj_lora2.up.weight": torch.ones(8, 2),
    }
    found = read(tensors, {"transformer": Fused()})
    assert list(found.layers["transformer"]) == ["blocks.0.out"]
    assert found.report.format == "numbered processors"
    assert not found.report.unmatched
