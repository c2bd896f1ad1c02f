"""Files of every format change the same weights in the reference, by the same amounts."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support import lora_files as written
from torch import Tensor, nn

from autopipe_lora.formats import read_lora, write_lora

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

pytestmark = pytest.mark.parity

# The reference merges a change into the weight, and the difference is taken afterwards: both round
# at the size of the weight, which is below 4 here, in float32.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return written.networks()


@pytest.fixture(scope="module")
def networks_xl() -> dict[str, nn.Module]:
    return written.networks_xl()


def pipeline(networks: Mapping[str, nn.Module]) -> Any:
    """The reference's pipeline with copies of these networks."""
    ours: Any = networks["unet"]
    config = {k: v for k, v in ours.config.items() if not k.startswith("_")}
    unet = diffusers.UNet2DConditionModel(**config)
    unet.load_state_dict(ours.state_dict())
    given = {n: copy.deepcopy(one) for n, one in networks.items() if n != "unet"}
    others = {"vae": None, "tokenizer": None, "scheduler": diffusers.DDIMScheduler()}
    if "text_encoder_2" in networks:
        return diffusers.StableDiffusionXLPipeline(
            unet=unet, **given, **others, tokenizer_2=None, add_watermarker=False
        )
    return diffusers.StableDiffusionPipeline(
        unet=unet,
        **given,
        **others,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def changed(pipe: Any, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The difference of each weight after the reference merged what it loaded."""
    pipe.fuse_lora(components=list(networks))
    found = {}
    for component, network in networks.items():
        after = getattr(pipe, component).state_dict()
        for name, weight in network.state_dict().items():
            path, _, last = name.rpartition(".")
            merged = after.get(f"{path}.base_layer.{last}", after.get(name))
            difference = merged - weight
            if difference.any():
                found[f"{component}.{path}"] = difference
    return found


def assert_alike(
    tensors: dict[str, Tensor],
    networks: Mapping[str, nn.Module],
    folder: Path,
    metadata: dict[str, str] | None = None,
) -> None:
    """Check that both libraries read the same changes of the same modules from a file."""
    save_file(tensors, folder / "file.safetensors", metadata or {})
    pipe = pipeline(networks)
    pipe.load_lora_weights(str(folder), weight_name="file.safetensors")
    expected = changed(pipe, networks)
    found = written.deltas(read_lora(tensors, metadata or {}, networks).layers)
    assert found.keys() == expected.keys()
    for name, change in expected.items():
        assert (found[name] - change).abs().max() < TOLERANCE * max(1, change.abs().max()), name


def test_peft(networks: Any, tmp_path: Path) -> None:
    every = written.LINEAR + written.CONVOLUTIONS + written.ENDS
    of = written.changes(networks, every, rank=lambda path: 3 if "conv" in path else 2)
    assert_alike(written.peft(of), networks, tmp_path)


def test_late_2023(networks: Any, tmp_path: Path) -> None:
    assert_alike(written.late_2023(written.changes(networks)), networks, tmp_path)


def test_early_2023(networks: Any, tmp_path: Path) -> None:
    of = written.changes(networks, written.ATTENTION, written.TEXT_ATTENTION)
    assert_alike(written.early_2023(of), networks, tmp_path)


def test_sd_scripts(networks: Any, tmp_path: Path) -> None:
    # One alpha: the reference ignores others inside attention.
    every = written.LINEAR + written.CONVOLUTIONS + written.ENDS
    of = written.changes(
        networks, every, rank=lambda path: 3 if "conv" in path else 2, alpha=lambda path: 1.0
    )
    assert_alike(written.scripts(of), networks, tmp_path)


@pytest.mark.parametrize("authors", [False, True], ids=["diffusers' names", "the authors' names"])
def test_sd_scripts_for_sdxl(networks_xl: Any, tmp_path: Path, authors: bool) -> None:
    every = written.LINEAR + written.CONVOLUTIONS + written.ENDS
    of = written.changes(networks_xl, every, alpha=lambda path: 1.0)
    name = written.authors_name(networks_xl["unet"]) if authors else lambda path: path
    assert_alike(written.scripts(of, xl=True, name=name), networks_xl, tmp_path)


def test_settings_in_the_metadata(networks: Any, tmp_path: Path) -> None:
    of = {
        "unet": written.changes(networks, rank=lambda p: 4 if p.endswith("to_k") else 2)["unet"],
        "text_encoder": written.changes(networks)["text_encoder"],
    }
    settings = {
        "unet": {
            "r": 2,
            "lora_alpha": 6,
            "rank_pattern": {"to_k": 4},
            "alpha_pattern": {"attn1.to_q": 3, "to_q": 5, r"up_blocks.*\.to_v": 7},
        },
        "text_encoder": {"r": 2, "lora_alpha": 5, "use_rslora": True},
    }
    for component, values in settings.items():
        values["target_modules"] = sorted(of[component])
    entries = {f"{c}.{name}": value for c, v in settings.items() for name, value in v.items()}
    metadata = {"lora_adapter_metadata": json.dumps(entries)}
    assert_alike(written.peft(of), networks, tmp_path, metadata)


def test_the_reference_reads_what_we_write(networks_xl: Any, tmp_path: Path) -> None:
    every = written.LINEAR + written.CONVOLUTIONS + written.ENDS
    of = written.changes(
        networks_xl,
        every,
        rank=lambda path: 3 if "conv" in path else 2,
        alpha=lambda path: 1.0 if "up_blocks" in path or "fc1" in path else 0.5,
    )
    layers = read_lora(written.scripts(of, xl=True), {}, networks_xl).layers
    content = write_lora(layers)
    assert_alike(dict(content.tensors), networks_xl, tmp_path, dict(content.metadata))
    one = written.changes(networks_xl, every, alpha=lambda path: 0.5)
    layers = read_lora(written.scripts(one, xl=True), {}, networks_xl).layers
    assert_alike(dict(write_lora(layers, format="kohya").tensors), networks_xl, tmp_path)


def test_a_network_alone_has_the_scale_of_the_file(tmp_path: Path) -> None:
    unet: Any = written.networks()["unet"]
    of = written.changes({"unet": unet})
    settings = {"unet.r": 2, "unet.lora_alpha": 6, "unet.target_modules": sorted(of["unet"])}
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    save_file(written.peft(of), tmp_path / "file.safetensors", metadata)
    theirs = pipeline({**written.networks(), "unet": unet}).unet
    for network in (unet, theirs):
        network.load_lora_adapter(
            str(tmp_path), prefix="unet", weight_name="file.safetensors", adapter_name="ink"
        )
    for path, change in of["unet"].items():
        found, expected = (n.get_submodule(path).get_delta_weight("ink") for n in (unet, theirs))
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found, 3 * change.delta)
