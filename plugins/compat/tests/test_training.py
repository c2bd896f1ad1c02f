"""Averages, learning rates and functions of training loops: what they refuse, and edges.

The numbers are compared with those of diffusers in `parity/`.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from autopipe import DDPMScheduler, EMAModel, UNet2DConditionModel, get_scheduler
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.training_utils import (
    cast_training_params,
    compute_density_for_timestep_sampling,
    compute_dream_and_update_latents,
    compute_snr,
    find_nearest_bucket,
    generate_aspect_ratio_buckets,
    offload_models,
    parse_buckets_string,
    set_seed,
    unet_lora_state_dict,
)


def linear(value: float = 0.0) -> torch.nn.Linear:
    made = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.constant_(made.weight, value)
    return made


def test_an_average_follows_its_parameters() -> None:
    network = linear()
    average = EMAModel(network.parameters(), decay=0.5, min_decay=0.5)
    average.step(network.parameters())
    torch.nn.init.constant_(network.weight, 1.0)
    average.step(network.parameters())
    average.step(network.parameters())
    # The second and the third step each go half of the way.
    assert torch.all(average.shadow_params[0] == 0.75)
    average.store(network.parameters())
    average.copy_to(network.parameters())
    assert torch.all(network.weight == 0.75)
    average.restore(network.parameters())
    assert torch.all(network.weight == 1.0)
    with pytest.raises(RuntimeError, match="store before"):
        average.restore(network.parameters())


def test_one_operation_for_all_gives_the_same() -> None:
    one, other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    other.load_state_dict(one.state_dict())
    for network in (one, other):
        network.bias.requires_grad_(False)
    averages = [EMAModel(n.parameters(), foreach=f) for n, f in ((one, False), (other, True))]
    for step in range(4):
        for network, average in zip((one, other), averages):
            with torch.no_grad():
                network.weight += step
                network.bias += step
            average.step(network.parameters())
    for a, b in zip(averages[0].shadow_params, averages[1].shadow_params):
        torch.testing.assert_close(a, b)


def test_an_average_moves_and_is_saved_as_a_network(tmp_path: Path) -> None:
    network = UNet2DConditionModel.from_pretrained("demo:stable_diffusion", subfolder="unet")
    average = EMAModel(
        network.parameters(), 0.75, model_cls=UNet2DConditionModel, model_config=network.config
    )
    average.to(dtype=torch.float64)
    assert average.shadow_params[0].dtype == torch.float64
    average.to(dtype=torch.float32)
    average.step(network.parameters())
    average.save_pretrained(tmp_path)
    loaded = EMAModel.from_pretrained(tmp_path, UNet2DConditionModel)
    assert loaded.optimization_step == 1
    assert loaded.decay == 0.75
    for a, b in zip(loaded.shadow_params, average.shadow_params):
        assert torch.equal(a, b)
    assert UNet2DConditionModel.from_pretrained(tmp_path).config.sample_size


@pytest.mark.parametrize(
    "state", [{"decay": 2.0}, {"power": "x"}, {"optimization_step": 1.5}, {"shadow_params": 3}]
)
def test_a_state_that_is_not_one_changes_nothing(state: dict[str, object]) -> None:
    average = EMAModel(linear().parameters(), 0.5)
    before = average.state_dict()
    with pytest.raises(ArgumentError, match="the state has"):
        average.load_state_dict({"decay": 0.25, **state})
    assert average.state_dict() == before


def test_what_an_average_refuses(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="model_cls"):
        EMAModel(linear().parameters()).save_pretrained(tmp_path)
    with pytest.raises(ArgumentTypeError, match="no keyword 'dekay'"):
        EMAModel(linear().parameters(), dekay=0.5)
    with pytest.warns(FutureWarning, match="max_value"):
        assert EMAModel(linear().parameters(), max_value=0.5).decay == 0.5
    with pytest.warns(FutureWarning, match="parameters"):
        assert EMAModel(linear()).use_ema_warmup


def test_learning_rates_refuse_what_they_can_not_use() -> None:
    optimizer = torch.optim.SGD(linear().parameters(), lr=0.1)
    for name, match in (
        ("nonsense", "no schedule 'nonsense'"),
        ("linear", "needs num_warmup_steps"),
        ("constant_with_warmup", "needs num_warmup_steps"),
        ("piecewise_constant", "needs step_rules"),
    ):
        with pytest.raises(ArgumentError, match=match):
            get_scheduler(name, optimizer)
    with pytest.raises(ArgumentError, match="wrong form"):
        get_scheduler("piecewise_constant", optimizer, step_rules="a:b")
    weak = torch.optim.SGD(linear().parameters(), lr=1e-9)
    with pytest.raises(ArgumentError, match="lr_end"):
        get_scheduler("polynomial", weak, num_warmup_steps=1, num_training_steps=3)


def test_seeds_repeat() -> None:
    set_seed(3)
    first = torch.rand(2)
    set_seed(3)
    assert torch.equal(first, torch.rand(2))


def test_only_what_is_trained_is_cast() -> None:
    network = torch.nn.Linear(2, 2).half()
    network.bias.requires_grad_(False)
    cast_training_params([network])
    assert network.weight.dtype == torch.float32
    assert network.bias.dtype == torch.float16


def test_the_ratio_has_the_shape_of_the_timesteps() -> None:
    scheduler = DDPMScheduler()
    steps = torch.tensor([[0, 10], [500, 999]])
    ratio = compute_snr(scheduler, steps)
    assert ratio.shape == steps.shape
    assert ratio.flatten().tolist() == sorted(ratio.flatten().tolist(), reverse=True)


def test_dream_is_for_noise() -> None:
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    with pytest.raises(ArgumentError, match="v_prediction"):
        compute_dream_and_update_latents(None, scheduler, *[torch.zeros(1)] * 5)


def test_positions_need_their_arguments() -> None:
    with pytest.raises(ArgumentError, match="logit_mean, logit_std"):
        compute_density_for_timestep_sampling("logit_normal", 3)
    drawn = compute_density_for_timestep_sampling("uniform", 1000)
    assert 0 <= drawn.min() < 0.1 < 0.9 < drawn.max() <= 1


def test_buckets() -> None:
    assert parse_buckets_string("64,128; 128,64") == [(64, 128), (128, 64)]
    for text in ("", "64", "64,0", "a,b", "64,64;"):
        with pytest.raises(ArgumentError, match="height and width"):
            parse_buckets_string(text)
    assert find_nearest_bucket(100, 210, [(64, 64), (64, 128), (128, 64)]) == 1
    buckets = generate_aspect_ratio_buckets(512)
    assert buckets[0] == (512, 512)
    assert all(height % 16 == width % 16 == 0 for height, width in buckets)


def test_networks_come_back() -> None:
    network = torch.nn.Linear(2, 2)
    with offload_models(network, device="meta", offload=False):
        assert network.weight.device.type == "cpu"
    with warnings.catch_warnings(), offload_models(network, device="cpu"):
        assert network.weight.device.type == "cpu"


def test_layers_with_a_lora_of_the_old_kind() -> None:
    class Old(torch.nn.Linear):
        lora_layer = torch.nn.Linear(2, 2, bias=False)

        def set_lora_layer(self) -> None: ...

    state = unet_lora_state_dict(torch.nn.Sequential(Old(2, 2), torch.nn.Linear(2, 2)))
    assert list(state) == ["0.lora.weight"]
