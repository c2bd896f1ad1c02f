"""Files of a ControlNet in the layout of its authors give what diffusers reads from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from support.single_files import assert_same_tensors

from autopipe import ControlNetModel
from autopipe_components.original.unet_names import unet_module_names

from ..conftest import SDXL

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")


def authors_name(name: str, modules: dict[str, str]) -> str:
    """The name of a tensor in the code of the authors."""
    by_path = {path: original for original, path in modules.items()}
    path = max((one for one in by_path if name.startswith(f"{one}.")), key=len)
    return by_path[path] + name[len(path) :]


@pytest.mark.parametrize("prefix", ["control_model.", ""])
@pytest.mark.parametrize("kind", [{}, {**SDXL, "use_linear_projection": True}])
def test_a_file_of_the_authors(
    prefix: str, kind: dict[str, Any], controlnets: Callable[..., Any], tmp_path: Path
) -> None:
    network = controlnets(**kind, conditioning_embedding_out_channels=(4, 8, 8, 8))
    network.save_pretrained(tmp_path / "plain")
    modules = unet_module_names(network.config)
    state = {prefix + authors_name(n, modules): t for n, t in network.state_dict().items()}
    file = tmp_path / "control.safetensors"
    save_file(state, file)
    config = str(tmp_path / "plain")
    ours = ControlNetModel.from_single_file(file, config=config)
    assert_same_tensors(ours, network)
    if not kind:
        # The reference has no names for the authors' embedding of sizes in a ControlNet.
        theirs = diffusers.ControlNetModel.from_single_file(str(file), config=config)
        assert_same_tensors(ours, theirs)


def test_a_file_with_the_names_here(controlnets: Callable[..., Any], tmp_path: Path) -> None:
    network = controlnets()
    network.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    ours = ControlNetModel.from_single_file(file, config=tmp_path)
    theirs = diffusers.ControlNetModel.from_single_file(str(file), config=str(tmp_path))
    assert_same_tensors(ours, theirs)
