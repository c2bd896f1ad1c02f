"""Configs go to and fro: what one library saves by default, the other makes the same object of."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.checkpoint.load import made_from
from autopipe.json_files import read_json_object
from autopipe.scheduling import SchedulerMixin
from autopipe_components import schedulers
from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.prior_transformer import PriorTransformer
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.networks.unet_2d import UNet2DModel
from autopipe_components.networks.vq_model import VQModel

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity


def every_scheduler() -> list[type]:
    modules = [
        importlib.import_module(f"{schedulers.__name__}.{one.name}")
        for one in pkgutil.iter_modules(schedulers.__path__)
    ]
    found = {cls for module in modules for cls in vars(module).values() if inspect.isclass(cls)}
    names = (cls for cls in found if issubclass(cls, SchedulerMixin) and cls.init_parameters())
    return sorted(names, key=lambda cls: cls.__name__)


SCHEDULERS = every_scheduler()
NEEDING = [cls for cls in SCHEDULERS if cls.__name__ == "VQDiffusionScheduler"]
"""Those without defaults for all entries; what they draw is compared in their own tests."""

NETWORKS = [AutoencoderKL, PriorTransformer, UNet2DConditionModel, UNet2DModel, VQModel]
CLASSES = [*(cls for cls in SCHEDULERS if cls not in NEEDING), *NETWORKS]


def test_all_schedulers_are_looked_at() -> None:
    assert len(SCHEDULERS) == 26


@pytest.mark.parametrize("cls", CLASSES)
def test_defaults_go_both_ways(cls: Any, tmp_path: Path) -> None:
    theirs_class = getattr(diffusers, cls.__name__)
    with torch.device("meta") if cls not in SCHEDULERS else torch.device("cpu"):
        theirs = theirs_class()
        theirs.save_config(tmp_path / "theirs")
        file = tmp_path / "theirs" / cls.config_name
        ours = made_from(cls, read_json_object(file), file)
        own_way = made_from(cls, theirs.config, file)
        ours.save_config(tmp_path / "ours")
        back = theirs_class.from_config(theirs_class.load_config(tmp_path / "ours"))
    for name, value in theirs.config.items():
        if not name.startswith("_"):
            wanted = list(value) if isinstance(value, tuple) else value
            for made in (ours, own_way, back):
                found = made.config[name]
                assert (list(found) if isinstance(found, tuple) else found) == wanted, name


@pytest.mark.parametrize("cls", CLASSES)
def test_what_may_be_none_there_may_be_none_here(cls: Any) -> None:
    """None is taken wherever the reference's own annotation or default has it."""
    from autopipe.values import Unfit, fitted, hints_of

    hints = hints_of(cls.__init__)
    theirs = inspect.signature(getattr(diffusers, cls.__name__).__init__).parameters
    refused = []
    for name, parameter in theirs.items():
        may = parameter.default is None or type(None) in typing.get_args(parameter.annotation)
        if may and name in hints:
            try:
                fitted(None, hints[name])
            except Unfit:
                refused.append(name)
    assert refused == []


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"])
def test_an_infinite_number_is_written_and_read(name: str, tmp_path: Path) -> None:
    made = getattr(diffusers, name)()
    made.save_config(tmp_path)
    file = tmp_path / "scheduler_config.json"
    assert json.loads(file.read_text())["lambda_min_clipped"] == -math.inf
    cls = {one.__name__: one for one in SCHEDULERS}[name]
    assert cls.from_pretrained(tmp_path).config.lambda_min_clipped == -math.inf
