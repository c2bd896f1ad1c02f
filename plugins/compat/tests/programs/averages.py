"""An average of weights with a warm-up, its state, and learning rates of every kind."""

import sys

import numpy as np
import torch
from diffusers.optimization import SchedulerType, get_scheduler
from diffusers.training_utils import EMAModel, compute_density_for_timestep_sampling, set_seed

model_id, out = sys.argv[1:]
set_seed(0)
network = torch.nn.Linear(4, 4)
network.bias.requires_grad_(False)
average = EMAModel(
    network.parameters(), decay=0.9, use_ema_warmup=True, power=0.75, update_after_step=1
)
decays = []
for _ in range(5):
    with torch.no_grad():
        network.weight += torch.randn(4, 4)
        network.bias += 1
    average.step(network.parameters())
    decays.append(average.cur_decay_value)
other = EMAModel(torch.nn.Linear(4, 4).parameters())
other.load_state_dict(average.state_dict())
other.copy_to(network.parameters())

rates = []
for kind in SchedulerType:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    schedule = get_scheduler(
        kind, optimizer, step_rules="1:4,0.1:7,0.01", num_warmup_steps=3, num_training_steps=10,
        num_cycles=2, power=2.0,
    )  # fmt: skip
    for _ in range(12):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
density = compute_density_for_timestep_sampling(
    "logit_normal", 5, 0.0, 1.0, 1.29, generator=torch.manual_seed(1)
)
np.savez(
    out, weight=network.weight.detach().numpy(), bias=network.bias.numpy(), decays=decays,
    rates=rates, density=density.numpy(),
)  # fmt: skip
