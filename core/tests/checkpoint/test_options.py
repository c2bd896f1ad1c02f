from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.checkpoint.options import (
    KEYWORDS,
    REFUSED,
    WITHOUT_MEANING,
    check_for_network,
    check_for_pipeline,
    parse_dtype,
    split_keywords,
)
from autopipe.errors import ArgumentError, ArgumentTypeError, UnsafeCheckpointError


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (torch.float16, torch.float16),
        ("float16", torch.float16),
        ("torch.bfloat16", torch.bfloat16),
        ("fp16", torch.float16),
        ("bf16", torch.bfloat16),
        ("float32", torch.float32),
        ("auto", "auto"),
    ],
)
def test_dtypes_have_names(given: Any, dtype: Any) -> None:
    assert parse_dtype(given) == dtype
    assert split_keywords({"torch_dtype": given})[0].dtype_of(None) == dtype
    assert split_keywords({"dtype": given})[0].dtype_of("unet") == dtype


@pytest.mark.parametrize("given", ["flaot16", "int8", "Linear", torch.int64, ""])
def test_what_is_no_dtype_of_weights_is_refused(given: Any) -> None:
    with pytest.raises(ArgumentError, match="dtype"):
        parse_dtype(given)


def test_a_misspelt_dtype_gets_a_hint() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'float16'"):
        parse_dtype("flaot16")


def test_another_type_is_a_type_error() -> None:
    with pytest.raises(ArgumentTypeError, match=r"torch\.dtype"):
        parse_dtype(16)


def test_both_names_of_the_dtype_must_agree() -> None:
    agreed, _ = split_keywords({"torch_dtype": "fp16", "dtype": torch.float16})
    assert agreed.dtype is torch.float16
    with pytest.raises(ArgumentError, match="contradict"):
        split_keywords({"torch_dtype": "float16", "dtype": "float32"})


def test_a_dtype_for_each_component() -> None:
    options, _ = split_keywords({"torch_dtype": {"unet": "fp16", "default": torch.bfloat16}})
    assert options.dtype_of("unet") is torch.float16
    assert options.dtype_of("vae") is torch.bfloat16
    options, _ = split_keywords({"torch_dtype": {"unet": "fp16"}})
    assert options.dtype_of("vae") is torch.float32


def test_without_a_dtype_it_is_float32_and_with_a_variant_that_of_its_files() -> None:
    assert split_keywords({})[0].dtype_of(None) is torch.float32
    assert split_keywords({"variant": "fp16"})[0].dtype_of(None) == "auto"


@pytest.mark.parametrize("name", ["custom_pipeline", "trust_remote_code"])
def test_code_of_a_checkpoint_is_refused(name: str) -> None:
    with pytest.raises(UnsafeCheckpointError, match=rf"{name}.*plugin"):
        split_keywords({name: "owner/code"})
    assert split_keywords({name: None})[1] == {}


def test_other_keywords_are_handed_back() -> None:
    options, rest = split_keywords({"unet": 1, "revision": "main", "use_safetensors": True})
    assert rest == {"unet": 1}
    assert options.hub.revision == "main"
    assert options.use_safetensors is True


@pytest.mark.parametrize("name", WITHOUT_MEANING)
def test_a_keyword_without_meaning_is_accepted_with_one_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert split_keywords({name: None}) == split_keywords({name: False}) == split_keywords({})
    assert caplog.records == []
    assert split_keywords({name: "x"}) == split_keywords({})
    assert len(caplog.records) == 1
    assert f"{name}= ({WITHOUT_MEANING[name]})" in caplog.text


def test_several_of_them_share_the_warning(caplog: pytest.LogCaptureFixture) -> None:
    split_keywords({"resume_download": True, "mirror": "x", "proxies": {"https": "x"}})
    assert len(caplog.records) == 1


ORIGINAL = """
    torch_dtype custom_pipeline force_download cache_dir resume_download proxies
    output_loading_info local_files_only token use_auth_token revision custom_revision mirror
    device_map max_memory offload_folder offload_state_dict low_cpu_mem_usage use_safetensors
    use_onnx variant trust_remote_code disable_mmap quantization_config load_connected_pipeline
""".split()  # noqa: SIM905


def test_the_docs_have_a_row_for_every_keyword() -> None:
    table = (Path(__file__).parents[3] / "docs" / "loading.md").read_text(encoding="utf-8")
    names = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert {*ORIGINAL, *KEYWORDS, *WITHOUT_MEANING, *REFUSED} <= names
    assert names <= {*KEYWORDS, *WITHOUT_MEANING, *REFUSED}


def test_token_goes_before_its_old_name() -> None:
    assert split_keywords({"token": None, "use_auth_token": "a"})[0].hub.token == "a"
    assert split_keywords({"token": "b", "use_auth_token": "a"})[0].hub.token == "b"
    assert split_keywords({"token": False, "use_auth_token": "a"})[0].hub.token is False
    assert "secret" not in repr(split_keywords({"token": "secret"}))


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"force_download.*local_files_only"):
        split_keywords({"force_download": True, "local_files_only": True})


@pytest.mark.parametrize(
    "given",
    [
        {"use_safetensors": "yes"},
        {"variant": 16},
        {"revision": 3},
        {"disable_mmap": 2},
        {"token": 3},
        {"cache_dir": 7},
        {"force_download": "yes"},
    ],
)
def test_values_of_the_wrong_type_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentTypeError, match=next(iter(given))):
        split_keywords(given)


def test_a_device_map_is_a_device_a_strategy_or_a_place_for_each() -> None:
    assert split_keywords({"device_map": "cpu"})[0].device == torch.device("cpu")
    for given in ("auto", "balanced", {"unet": 0, "": "disk"}):
        options = split_keywords({"device_map": given, "max_memory": {0: "1GB"}})[0]
        assert (options.device, options.device_map) == (None, given)
        assert options.max_memory == {0: "1GB"}
    for wrong in ("everywhere", 1.5, ["cpu"]):
        with pytest.raises(ArgumentError, match="device_map"):
            split_keywords({"device_map": wrong})


def test_a_network_has_no_budget_and_a_pipeline_no_strategy_for_parts() -> None:
    for given in ("auto", "sequential", {"": "cpu"}, "cuda"):
        check_for_network(split_keywords({"device_map": given, "max_memory": {0: 1}})[0], "Net")
    with pytest.raises(ArgumentError, match=r"memory=.* is for pipelines"):
        check_for_network(split_keywords({"memory": "auto"})[0], "Net")
    for strategy in ("sequential", "balanced_low_0"):
        with pytest.raises(ArgumentError, match="for a single network"):
            check_for_pipeline(split_keywords({"device_map": strategy})[0])
    check_for_pipeline(split_keywords({"device_map": "auto"})[0])


def test_memory_is_a_budget_and_stands_alone() -> None:
    assert split_keywords({"memory": "6GiB"})[0].memory == "6GiB"
    for wrong in ({"memory": "much"}, {"memory": "auto", "device_map": "cpu"}):
        with pytest.raises(ArgumentError, match="memory"):
            split_keywords(wrong)


def test_quantization_is_not_there_yet() -> None:
    with pytest.raises(ArgumentError, match="quantization_config"):
        split_keywords({"quantization_config": {}})


def test_a_token_does_not_show() -> None:
    options, _ = split_keywords({"token": "hf_secret"})
    assert options.hub.token == "hf_secret"
    assert "hf_secret" not in repr(options)
