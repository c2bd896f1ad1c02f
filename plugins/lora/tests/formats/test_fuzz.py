"""Whatever a file has, the error is one of ours.

`AUTOPIPE_FUZZ` is how many examples there are, as for the core's tests of this kind.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import lora_files as written
from torch import Tensor, nn

from autopipe.errors import AutopipeError
from autopipe_lora.formats import read_lora, summarise, write_lora

fuzz = settings(
    max_examples=int(os.environ.get("AUTOPIPE_FUZZ", "60")),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

NETWORKS: dict[str, nn.Module] = written.networks()
PATH = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
STEMS = st.sampled_from(
    [
        f"unet.{PATH}",
        PATH,
        f"lora_unet_{PATH.replace('.', '_')}",
        "lora_unet_input_blocks_0_0",
        "unet.conv_in",
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "text_encoder.encoder.layers.0.mlp.fc1",
        "encoder.layers.0.mlp.fc1",
        "",
        ".",
        "lora_",
        "unet.",
        "\x1b\u202e",
    ]
)
ROLES = st.sampled_from(
    [
        ".lora_A.weight", ".lora_B.weight", ".lora_A.ink.weight", ".lora_B.bias",
        ".lora.down.weight", ".lora.up.weight", "_lora.down.weight", "_lora.up.weight",
        ".lora_down.weight", ".lora_up.weight", ".lora_mid.weight", ".alpha", ".dora_scale",
        ".lora_magnitude_vector", ".diff", ".diff_b", ".hada_w1_a", ".hada_w1_b", ".hada_w2_a",
        ".hada_w2_b", ".hada_t1", ".hada_t2", ".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2",
        ".lokr_w2_a", ".lokr_w2_b", ".lokr_t2", ".bias", ".oft_blocks", "..", ".weight", "",
    ]
)  # fmt: skip
SIZES = st.sampled_from([0, 1, 2, 3, 4, 8, 16, 24])
SHAPES = st.lists(SIZES, max_size=5).map(tuple)
DTYPES = st.sampled_from(
    [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool]
)
TENSORS = st.builds(
    lambda shape, dtype, value: torch.full(shape, value).to(dtype),
    SHAPES,
    DTYPES,
    st.sampled_from([0.0, 1.0, -2.0, float("nan"), float("inf")]),
)
KEYS = st.builds(lambda stem, role: stem + role, STEMS, ROLES) | st.text(max_size=20)
FILES = st.dictionaries(KEYS, TENSORS, max_size=8)
NUMBERS: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
SETTINGS = st.dictionaries(
    st.sampled_from(
        [f"{start}{name}" for start in ("", "unet.", "text_encoder.")
         for name in ("r", "lora_alpha", "alpha_pattern", "use_rslora")]
    ),
    NUMBERS | st.dictionaries(st.text("^$.*\\_ab(+", max_size=8), NUMBERS, max_size=3),
)  # fmt: skip
METADATA = st.one_of(
    st.just({}),
    SETTINGS.map(lambda found: {"lora_adapter_metadata": json.dumps(found)}),
    st.text(max_size=20).map(lambda text: {"lora_adapter_metadata": text}),
)


@fuzz
@given(tensors=FILES, metadata=METADATA)
def test_a_file_is_read_or_refused(tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    with contextlib.suppress(AutopipeError):
        summarise(tensors, metadata)
    try:
        found = read_lora(tensors, metadata, NETWORKS)
    except AutopipeError:
        return
    # Every key is somewhere, and what was read can be written and read again.
    report = found.report
    assert sorted([*report.matched, *report.unmatched, *report.skipped]) == sorted(tensors)
    content = write_lora(found.layers, format="kohya")
    again = read_lora(content.tensors, content.metadata, NETWORKS)
    assert {c: set(layers) for c, layers in again.layers.items()} == {
        c: set(layers) for c, layers in found.layers.items()
    }


@fuzz
@given(
    data=st.data(),
    write=st.sampled_from([written.peft, written.late_2023, written.scripts]),
)
def test_a_file_with_one_other_tensor(data: st.DataObject, write: Any) -> None:
    of = written.changes(NETWORKS, (".to_q",), (".q_proj",), alpha=lambda path: 1.0)
    tensors = write(of)
    key = data.draw(st.sampled_from(sorted(tensors)))
    tensors[key] = data.draw(TENSORS)
    with contextlib.suppress(AutopipeError):
        assert read_lora(tensors, {}, NETWORKS).report.matched == tuple(tensors)


@pytest.mark.parametrize("key", ["lora_unet_" * 90, "." * 999, "lora_A." * 140 + "weight"])
def test_long_keys(key: str) -> None:
    assert summarise({key: torch.ones(1)}, {}).format in ("unknown", "peft")
