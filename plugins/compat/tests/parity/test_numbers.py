"""Learning rates, averages and functions of training give the numbers of diffusers.

The operations are the same ones in the same order, so the results are equal, not only close.
"""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe
from autopipe import training_utils as ours
from autopipe.optimization import TYPE_TO_SCHEDULER_FUNCTION, get_scheduler

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.parity

theirs = importlib.import_module("diffusers.training_utils")
rates = importlib.import_module("diffusers.optimization")

KINDS = [kind.value for kind in TYPE_TO_SCHEDULER_FUNCTION]


def learning_rates(get: Any, name: str, **given: Any) -> list[float]:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = get(name, optimizer, **given)
    found = []
    for _ in range(25):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("warmup", [0, 1, 5, 20])
@pytest.mark.parametrize("name", KINDS)
def test_learning_rates(name: str, warmup: int) -> None:
    given = {
        "step_rules": "1:7,0.5:3,0.1:12,0.01",
        "num_warmup_steps": warmup,
        "num_training_steps": 20 if name != "polynomial" else 21,
        "num_cycles": 3,
        "power": 1.5,
    }
    expected = learning_rates(rates.get_scheduler, name, **given)
    assert learning_rates(get_scheduler, name, **given) == pytest.approx(expected, rel=1e-14)


def test_limits_of_the_linear_one() -> None:
    for get in ("get_linear_schedule_with_warmup", "get_cosine_schedule_with_warmup"):
        given: dict[str, Any] = {"num_warmup_steps": 4, "num_training_steps": 15}
        if "linear" in get:
            given |= {"f_min": 0.1, "f_max": 0.8}

        def called(module: Any, get: str = get) -> Any:
            return lambda name, optimizer, **rest: getattr(module, get)(optimizer, **rest)

        expected = learning_rates(called(rates), "", **given)
        mine = learning_rates(called(autopipe.optimization), "", **given)
        assert mine == pytest.approx(expected, rel=1e-14)


SETTINGS = [
    {},
    {"decay": 0.6},
    {"use_ema_warmup": True},
    {"use_ema_warmup": True, "inv_gamma": 2.0, "power": 0.75, "min_decay": 0.3},
    {"update_after_step": 3},
    {"foreach": True},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_averages(settings: dict[str, Any]) -> None:
    results = []
    for module in (ours, theirs):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
        network[1].bias.requires_grad_(False)
        average = module.EMAModel(network.parameters(), **settings)
        found: list[Any] = []
        for _ in range(7):
            with torch.no_grad():
                for one in network.parameters():
                    one += torch.randn(one.shape)
            average.step(network.parameters())
            found += [average.cur_decay_value, *(one.clone() for one in average.shadow_params)]
        state = average.state_dict()
        results.append((found, {n: v for n, v in state.items() if n != "shadow_params"}))
    assert results[0][1] == results[1][1]
    for a, b in zip(results[0][0], results[1][0]):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_each_library_loads_the_average_of_the_other(tmp_path: Path) -> None:
    for library, other, folder in (
        (autopipe, diffusers, tmp_path / "ours"),
        (diffusers, autopipe, tmp_path / "theirs"),
    ):
        make, read = (ours, theirs) if library is autopipe else (theirs, ours)
        kind = library.UNet2DConditionModel
        network = kind(
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, sample_size=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=8,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=2,
        )  # fmt: skip
        average = make.EMAModel(
            network.parameters(), 0.7, model_cls=kind, model_config=network.config
        )
        average.step(network.parameters())
        average.save_pretrained(folder)
        loaded = read.EMAModel.from_pretrained(folder, other.UNet2DConditionModel)
        assert loaded.decay == 0.7
        assert loaded.optimization_step == 1
        # The libraries list the parameters of a network in another order.
        states = []
        for one, cls in ((average, kind), (loaded, other.UNet2DConditionModel)):
            copied = cls.from_config(network.config)
            one.copy_to(copied.parameters())
            states.append(copied.state_dict())
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_ratios_and_weights() -> None:
    steps = torch.arange(0, 1000, 37)
    for kind in ("scaled_linear", "linear"):
        a = ours.compute_snr(autopipe.DDPMScheduler(beta_schedule=kind), steps)
        b = theirs.compute_snr(diffusers.DDPMScheduler(beta_schedule=kind), steps)
        # The schedules of betas are those of the libraries, which add in another order.
        torch.testing.assert_close(a, b, rtol=1e-4, atol=0)
    sigmas = torch.linspace(0.01, 0.99, 7)
    for scheme in ("sigma_sqrt", "cosmap", "none"):
        assert torch.equal(
            ours.compute_loss_weighting_for_sd3(scheme, sigmas),
            theirs.compute_loss_weighting_for_sd3(scheme, sigmas),
        )
    for scheme in ("logit_normal", "mode", "none"):
        given = (scheme, 9, 0.3, 1.2, 1.29, "cpu")
        assert torch.equal(
            ours.compute_density_for_timestep_sampling(*given, torch.manual_seed(3)),
            theirs.compute_density_for_timestep_sampling(*given, torch.manual_seed(3)),
        )


def test_dream() -> None:
    torch.manual_seed(0)
    noise, noisy, target = (torch.randn(2, 4, 4, 4) for _ in range(3))

    class Net:
        def __call__(self, x: Any, t: Any, states: Any) -> Any:
            return type("Output", (), {"sample": x * 0.5})

    steps = torch.tensor([10, 700])
    a = ours.compute_dream_and_update_latents(
        Net(), autopipe.DDPMScheduler(), steps, noise, noisy, target, None, 2.0
    )
    b = theirs.compute_dream_and_update_latents(
        Net(), diffusers.DDPMScheduler(), steps, noise, noisy, target, None, 2.0
    )
    for mine, other in zip(a, b):
        # float32 rounding of the schedules.
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


def test_buckets() -> None:
    for resolution, step in itertools.product((256, 500, 1024), (8, 16, 64)):
        mine = ours.generate_aspect_ratio_buckets(resolution, step)
        assert mine == theirs.generate_aspect_ratio_buckets(resolution, step)
        own = [(512, 768), (768, 512), (640, 640)]
        assert ours.generate_aspect_ratio_buckets(resolution, step, own) == (
            theirs.generate_aspect_ratio_buckets(resolution, step, own)
        )
        for height, width in itertools.product((100, 333, 700), repeat=2):
            assert ours.find_nearest_bucket(height, width, mine) == theirs.find_nearest_bucket(
                height, width, mine
            )
    text = "64,128;128,64;8,8"
    assert ours.parse_buckets_string(text) == theirs.parse_buckets_string(text)


LAYERS = ("text_model.encoder.layers.0.self_attn", "unet.down_blocks.0.attentions.1.attn1")


def states() -> dict[str, dict[str, torch.Tensor]]:
    def state(*names: str) -> dict[str, torch.Tensor]:
        return {f"{layer}.{name}": torch.ones(2, 2) for layer in LAYERS for name in names}

    old = [f"{p}to_{n}_lora.{side}.weight" for p in ("", "processor.") for n in ("q", "k", "v",
           "out") for side in ("up", "down")]  # fmt: skip
    late = [f"{n}_proj.lora_linear_layer.{side}.weight" for n in ("q", "k", "v", "out")
            for side in ("up", "down")]  # fmt: skip
    peft = [f"{n}.lora_{side}.weight" for n in ("q_proj", "out_proj", "to_q", "to_out.0", "fc1")
            for side in "AB"]  # fmt: skip
    return {
        "old": state(*old, "to_out.lora_magnitude_vector"),
        "late": state(*late, "fc1.lora_linear_layer.up.weight"),
        "peft": state(*peft, "fc1.lora_magnitude_vector"),
        "named": state(*(name.replace(".weight", ".ink.weight") for name in peft)),
        "unet": state("to_q.lora.up.weight", "to_out_lora.down.weight", "to_k_lora.up.weight"),
        "none": state("weight"),
    }


@pytest.mark.parametrize("kind", list(states()))
@pytest.mark.parametrize(
    "name",
    [
        "convert_state_dict_to_peft",
        "convert_state_dict_to_diffusers",
        "convert_state_dict_to_kohya",
        "convert_unet_state_dict_to_peft",
        "convert_all_state_dict_to_peft",
    ],
)
def test_keys_of_loras(name: str, kind: str) -> None:
    state = states()[kind]
    given = {"adapter_name": "ink"} if kind == "named" and "all" not in name else {}
    if "unet" in name:
        given = {}

    def names(module: str) -> Any:
        convert = getattr(importlib.import_module(f"{module}.utils.state_dict_utils"), name)
        try:
            return list(convert(state, **given))
        except ValueError:
            return "refused"

    assert names("autopipe") == names("diffusers")
