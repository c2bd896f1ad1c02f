"""The steps of a call that latent families share, with a network that shows what it got."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from autopipe import DDIMScheduler, DDPMScheduler
from autopipe.errors import ArgumentError
from autopipe.outputs import BaseOutput
from autopipe.pipeline.call import Arguments
from autopipe_components.latent import LatentPipeline


class Network(torch.nn.Module):
    """Predicts zero for the first half of a batch and one for the second."""

    def __init__(self, **config):
        super().__init__()
        self.config = SimpleNamespace(
            **{"sample_size": 4, "in_channels": 4, "time_cond_proj_dim": None, **config}
        )
        self.calls = []

    def forward(self, sample, timestep, **inputs):
        self.calls.append((sample, inputs))
        values = torch.zeros_like(sample[:, :4])
        values[len(values) // 2 :] = 1.0
        return (values,)


class Pipe(LatentPipeline):
    def __init__(self, vae, unet, scheduler):
        self.register_modules(vae=vae, unet=unet, scheduler=scheduler)


@pytest.fixture
def make():
    def pipe(**config):
        vae = SimpleNamespace(
            config=SimpleNamespace(latent_channels=4, block_out_channels=(1, 1, 1))
        )
        scheduler = DDIMScheduler()
        scheduler.set_timesteps(2)
        return Pipe(vae, Network(**config), scheduler)

    return pipe


def start(pipe, scale, **changes):
    given = {"num_images_per_prompt": 1, "generator": None, "output_type": "pt"}
    pipe.call = Arguments({**given, "guidance_scale": scale, **changes})
    return pipe.prepare_batch(2)


def tensors():
    return {"latents": torch.rand(2, 4, 4, 4), "prompt_embeds": torch.rand(4, 3, 5)}


def test_sizes_follow_the_autoencoder(make):
    pipe = make(sample_size=(3, 5))
    assert pipe.vae_scale_factor == 4
    assert pipe.default_size() == (12, 20)
    assert pipe.latent_shape(2, 12, 20) == (2, 4, 3, 5)
    assert pipe.size_in_pixels(torch.zeros(1, 3, 13, 23)) == (12, 20)
    assert pipe.size_in_pixels(torch.zeros(1, 4, 3, 5)) == (12, 20)


@pytest.mark.parametrize("together", [False, True])
def test_a_size_that_is_absent_is_the_trained_one(make, together):
    pipe = make(sample_size=(2, 4))
    pipe.ignores_partial_size = together

    def asked(height, width):
        pipe.call = Arguments({"height": height, "width": width})
        return pipe.resolve_size()

    assert asked(24, 40) == (24, 40)
    assert asked(None, None) == asked(0, None) == (8, 16)
    assert asked(24, None) == ((8, 16) if together else (24, 16))
    with pytest.raises(ArgumentError, match="divisible by 8"):
        asked(12, 40)
    pipe.size_multiple = None
    assert asked(12, 40) == (12, 40)


def test_a_record_has_nothing_to_say_of_latents(make):
    @dataclass
    class Output(BaseOutput):
        images: object
        flags: object
        more: object

    pipe, latents = make(), torch.rand(1, 4, 2, 2)
    pipe.output_class = Output
    for return_dict in (True, False):
        pipe.call = Arguments({"output_type": "latent", "return_dict": return_dict})
        found = pipe.make_output(latents, on_images=lambda images: images + 1)
        images, *rest = vars(found).values() if return_dict else found
        assert torch.equal(images, latents + 1)
        assert rest == [None, None]


def test_a_call_sets_its_state(make):
    pipe = make()
    assert start(pipe, 3.0, num_images_per_prompt=3, clip_skip=1, guidance_rescale=0.5) == 6
    assert (pipe.guidance_scale, pipe.guidance_rescale, pipe.clip_skip) == (3.0, 0.5, 1)
    with pytest.raises(ArgumentError, match="IP-Adapter"):
        start(pipe, 3.0, ip_adapter_image=object())


@pytest.mark.parametrize(("scale", "guided"), [(3.0, True), (1.0, False)])
def test_guidance_doubles_the_batch(make, scale, guided):
    pipe = make()
    start(pipe, scale)
    given = tensors()
    found = pipe.make_predictor(given)(0, pipe.scheduler.timesteps[0])
    ((sample, inputs),) = pipe.unet.calls
    assert torch.equal(sample, torch.cat([given["latents"]] * (2 if guided else 1)))
    assert inputs["encoder_hidden_states"] is given["prompt_embeds"]
    # Zero without the prompt and one with it: what is left is the scale.
    expected = torch.full((2, 4, 4, 4), 3.0) if guided else torch.tensor([0.0, 1.0])
    assert torch.equal(
        found, expected.reshape(2, *(expected.shape[1:] or (1, 1, 1))).expand_as(found)
    )


def test_a_condition_adds_to_the_inputs_and_sees_no_further_channels(make):
    pipe = make()
    start(pipe, 3.0)
    seen = []

    def condition(step, sample, timestep, inputs):
        seen.append((step, sample.shape, int(timestep), set(inputs)))
        return {"mid_block_additional_residual": 7}

    extra = torch.rand(4, 5, 4, 4)
    timestep = pipe.scheduler.timesteps[1]
    pipe.steerings = (condition,)
    pipe.make_predictor(tensors(), lambda: [extra])(1, timestep)
    assert seen == [(1, (4, 4, 4, 4), int(timestep), {"encoder_hidden_states"})]
    ((sample, inputs),) = pipe.unet.calls
    assert torch.equal(sample[:, 4:], extra)
    assert inputs["mid_block_additional_residual"] == 7


def test_a_later_steering_sees_what_the_ones_before_it_gave(make):
    pipe = make()
    start(pipe, 1.0)

    def first(step, sample, timestep, inputs):
        return {"given": [step]}

    def second(step, sample, timestep, inputs):
        return {"given": [*inputs["given"], "more"]}

    pipe.steerings = (first, second)
    pipe.make_predictor(tensors())(0, pipe.scheduler.timesteps[0])
    assert pipe.unet.calls[0][1]["given"] == [0, "more"]
    # Nothing of it stays for another pipeline of the class.
    assert make().steerings == ()


def test_a_network_distilled_on_the_scale_gets_it_and_no_guidance(make):
    pipe = make(time_cond_proj_dim=6)
    start(pipe, 3.0)
    assert not pipe.do_classifier_free_guidance
    pipe.make_predictor(tensors())(0, pipe.scheduler.timesteps[0])
    assert pipe.unet.calls[0][1]["timestep_cond"].shape == (2, 6)


@pytest.mark.parametrize("scale", [3.0, 1.0])
def test_a_predicted_variance_is_for_schedulers_that_take_one(make, scale):
    pipe = make()
    start(pipe, scale)
    guided = scale > 1
    halves = torch.arange(2.0 if guided else 1.0).reshape(-1, 1, 1, 1)
    # Four channels of the mean, then four of the variance.
    prediction = torch.cat([halves.expand(-1, 4, 2, 2), 5 + halves.expand(-1, 4, 2, 2)], dim=1)
    mean, variance = (3.0, 6.0) if guided else (0.0, 5.0)

    def settled(scheduler):
        pipe.scheduler = scheduler
        return pipe._for_scheduler(prediction, 1, 4)[0, :, 0, 0].tolist()

    assert settled(DDPMScheduler(variance_type="learned_range")) == [mean] * 4 + [variance] * 4
    assert settled(DDPMScheduler(variance_type="fixed_small")) == [mean] * 4
    # It keeps the option in its config, for a scheduler to come.
    kept = DDIMScheduler.from_config(DDPMScheduler(variance_type="learned").config)
    assert settled(kept) == [mean] * 4
