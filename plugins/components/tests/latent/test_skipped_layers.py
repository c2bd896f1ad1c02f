"""A family whose network can skip layers, and is guided away from what it then predicts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autopipe import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import pipeline_call
from autopipe_components.latent import LatentPipeline, LatentText2Image, SkipsLayers


class ToyNetwork(torch.nn.Module):
    """Adds the number of each layer that is not skipped, times what the prompt is."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(in_channels=4, sample_size=4, num_layers=3)
        self.seen = []

    def forward(self, sample, prompt, skip_layers=()):
        self.seen.append((len(sample), [*skip_layers]))
        left = sum(number for number in range(3) if number not in skip_layers)
        return sample * 0 + left * prompt


class ToySteps(LatentPipeline):
    output_class = ImagePipelineOutput

    def __init__(self, vae, network, scheduler):
        self.register_modules(vae=vae, network=network, scheduler=scheduler)

    required_components = ("network", "scheduler")

    @property
    def denoiser(self):
        return self.network

    def check_prompts(self):
        return 1

    def encode_conditioning(self, height, width):
        halves = [1.0, 2.0] if self.do_classifier_free_guidance else [2.0]
        return {"prompt_embeds": torch.tensor(halves).reshape(-1, 1, 1, 1)}

    def denoiser_inputs(self, tensors):
        return {"prompt": tensors["prompt_embeds"]}

    def run_denoiser(self, sample, timestep, guidance, inputs):
        return self.network(sample, **inputs)


class ToyPipeline(SkipsLayers, ToySteps, LatentText2Image):
    @pipeline_call
    def __call__(
        self, prompt="", num_inference_steps=5, guidance_scale=3.0, latents=None,
        output_type="latent", skip_guidance_layers=None, skip_layer_guidance_scale=2.0,
        skip_layer_guidance_stop=0.7, skip_layer_guidance_start=0.3,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


@pytest.fixture
def pipe():
    vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4,
                        down_block_types=("DownEncoderBlock2D",) * 2,
                        up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
    made = ToyPipeline(vae, ToyNetwork(), FlowMatchEulerDiscreteScheduler())
    made.set_progress_bar_config(disable=True)
    return made


def test_the_steps_in_between_predict_once_more_without_the_layers(pipe):
    zeros = torch.zeros(1, 4, 4, 4)
    plain = pipe(latents=zeros).images
    pipe.network.seen.clear()
    found = pipe(latents=zeros, skip_guidance_layers=[2]).images
    # Of five steps, those of the numbers above 1.5 and below 3.5.
    third = [(2, []), (1, [2])]
    assert pipe.network.seen == [(2, []), (2, []), *third, *third, (2, [])]
    # The prompt is 2, and without the layer 2 a third of the layers' sum is left: 2 * 3 - 2 * 1.
    between = torch.linspace(1, 1 / 1000, 5)[[2, 4]].diff()
    assert torch.allclose(found - plain, 2.0 * 4 * between.expand_as(plain), atol=1e-5)


def test_without_guidance_nothing_is_skipped(pipe):
    pipe(skip_guidance_layers=[2], guidance_scale=1.0)
    assert pipe.network.seen == [(1, [])] * 5


def test_layers_that_do_not_exist_are_refused(pipe):
    for wrong, kind, said in (
        ({"skip_guidance_layers": [3]}, ArgumentError, "the layers 0 to 2"),
        ({"skip_guidance_layers": 1}, ArgumentTypeError, "give a list"),
        ({"skip_guidance_layers": ["1"]}, ArgumentTypeError, "whole number"),
        ({"skip_layer_guidance_scale": "x"}, ArgumentTypeError, "skip_layer_guidance_scale"),
    ):
        with pytest.raises(kind, match=said):
            pipe(**wrong)
    assert pipe.network.seen == []
