"""Files of every format give the same layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import lora_files as written
from torch import Tensor, nn

from autopipe_components.encoders.clip_text import CLIPTextModel
from autopipe_lora.formats import read_lora


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return written.networks()


@pytest.fixture(scope="module")
def networks_xl() -> dict[str, nn.Module]:
    return written.networks_xl()


def assert_read(
    tensors: dict[str, Tensor],
    networks: dict[str, nn.Module],
    of: written.Changes,
    style: str,
    metadata: dict[str, str] | None = None,
) -> None:
    """Check that a file gives exactly these changes, and that each key is used."""
    found = read_lora(tensors, metadata or {}, networks)
    expected = {f"{c}.{p}": change for c, layers in of.items() for p, change in layers.items()}
    deltas = written.deltas(found.layers)
    assert deltas.keys() == expected.keys()
    for name, change in expected.items():
        torch.testing.assert_close(deltas[name], change.delta)
    assert sorted(found.report.matched) == sorted(tensors)
    assert (found.report.unmatched, dict(found.report.skipped)) == ((), {})
    assert found.report.format == style


@pytest.mark.parametrize(
    ("write", "style", "unet", "text"),
    [
        (written.peft, "peft", written.LINEAR + written.ENDS, written.TEXT),
        (written.late_2023, "diffusers, late 2023", written.LINEAR, written.TEXT),
        (
            written.early_2023,
            "diffusers, early 2023",
            written.ATTENTION,
            written.TEXT_ATTENTION,
        ),
    ],
)
def test_formats_of_diffusers(
    networks: dict[str, nn.Module], write: Any, style: str, unet: Any, text: Any
) -> None:
    of = written.changes(networks, unet, text)
    assert_read(write(of), networks, of, style)


def alphas(path: str) -> float:
    return 1.0 if "conv" in path else 4.0


def ranks(path: str) -> int:
    return 3 if "conv" in path else 2


def test_files_of_sd_scripts(networks: dict[str, nn.Module]) -> None:
    every = written.LINEAR + written.CONVOLUTIONS + written.ENDS
    of = written.changes(networks, every, rank=ranks, alpha=alphas)
    assert_read(written.scripts(of), networks, of, "sd-scripts")


@pytest.mark.parametrize("authors", [False, True], ids=["diffusers' names", "the authors' names"])
def test_files_of_sd_scripts_for_sdxl(networks_xl: dict[str, nn.Module], authors: bool) -> None:
    every = written.LINEAR + written.CONVOLUTIONS + written.ENDS
    of = written.changes(networks_xl, every, rank=ranks, alpha=alphas)
    name: Callable[[str], str] = (
        written.authors_name(networks_xl["unet"]) if authors else lambda path: path
    )
    assert_read(written.scripts(of, xl=True, name=name), networks_xl, of, "sd-scripts")


def test_files_of_other_programs_have_the_authors_names(networks: dict[str, nn.Module]) -> None:
    of = {"unet": written.changes(networks)["unet"]}
    name = written.authors_name(networks["unet"])
    tensors = written.peft(of, lambda _, path: f"diffusion_model.{name(path)}")
    assert_read(tensors, networks, of, "peft")


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
def test_a_file_of_one_network_needs_no_prefix(networks: dict[str, nn.Module], prefix: str) -> None:
    of = written.changes(networks)
    for component in networks:
        only = {component: of[component]}
        tensors = written.peft(only, lambda _, path: prefix + written.file_path(path))
        assert_read(tensors, networks, only, "peft")


def test_early_files_without_prefix(networks: dict[str, nn.Module]) -> None:
    of = {"unet": written.changes(networks, written.ATTENTION)["unet"]}
    tensors = written.early_2023(of, prefix=False)
    assert_read(tensors, networks, of, "diffusers, early 2023")


def test_a_file_of_one_network_means_the_one_that_predicts(networks: dict[str, nn.Module]) -> None:
    of = {"unet": written.changes(networks)["unet"]}
    tensors = written.peft(of, lambda _, path: path)
    assert_read(tensors, {"controlnet": networks["unet"], **networks}, of, "peft")


def test_a_state_dict_of_peft_may_name_the_adapter(networks: dict[str, nn.Module]) -> None:
    of = written.changes(networks)
    tensors = {k.replace(".weight", ".ink.weight"): t for k, t in written.peft(of).items()}
    assert_read(tensors, networks, of, "peft")


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("in_network", [False, True])
def test_text_model_may_be_present_or_absent(in_file: bool, in_network: bool) -> None:
    class Nested(nn.Module):
        def __init__(self, text_model: nn.Module) -> None:
            super().__init__()
            self.text_model = text_model

    flat = CLIPTextModel(**written.CLIP)
    inner = next((m for n, m in flat.named_modules() if n == "text_model"), flat)
    encoder: nn.Module = Nested(inner) if in_network else inner
    of = written.changes({"text_encoder": encoder})
    assert len(of["text_encoder"]) == 12
    tensors = {
        key if in_file else key.replace("text_model.", ""): tensor
        for key, tensor in written.peft(of).items()
    }
    assert_read(tensors, {"text_encoder": encoder}, of, "peft")


def test_formats_may_be_mixed(networks: dict[str, nn.Module]) -> None:
    of = written.changes(networks)
    tensors = written.scripts({"unet": of["unet"]}) | written.peft(
        {"text_encoder": of["text_encoder"]}
    )
    assert_read(tensors, networks, of, "peft, sd-scripts")


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_dtypes(networks: dict[str, nn.Module], dtype: torch.dtype) -> None:
    of = written.changes(networks)
    tensors = {key: tensor.to(dtype) for key, tensor in written.peft(of).items()}
    found = read_lora(tensors, {}, networks)
    layer = found.layers["unet"]["down_blocks.0.attentions.0.proj_in"]
    kept = dtype in (torch.float16, torch.bfloat16)
    assert layer.down.dtype == layer.up.dtype == (dtype if kept else torch.float32)
    key = "unet.down_blocks.0.attentions.0.proj_in.lora_A.weight"
    assert torch.equal(layer.down.flatten().float(), tensors[key].flatten().float())


def test_a_convolution_takes_matrices_and_a_linear_module_takes_kernels(
    networks: dict[str, nn.Module], networks_xl: dict[str, nn.Module]
) -> None:
    for these in (networks, networks_xl):  # a convolution here, a linear module there
        of = {"unet": written.changes(these, (".proj_in",))["unet"]}
        linear = {key: tensor.flatten(1) for key, tensor in written.peft(of).items()}
        assert_read(linear, these, of, "peft")
        kernels = {key: tensor[:, :, None, None] for key, tensor in linear.items()}
        assert_read(kernels, these, of, "peft")
