"""A family whose network is no U-Net: a transformer that sees packed latents.

It is as Flux is: latents of 2 x 2 cells are one token, the guidance scale is an input instead of a
second half of the batch, timesteps are from 0 to 1, and nothing in its config speaks of masks.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from autopipe import AutoencoderKL, DDIMScheduler
from autopipe.errors import ArgumentError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import pipeline_call
from autopipe_components.latent import (
    LatentImage2Image,
    LatentInpaint,
    LatentPipeline,
    LatentText2Image,
)
from autopipe_components.steps.checks import batch_size_of, check_prompt

# The family


class ToyTransformer(torch.nn.Module):
    """One layer of attention over the tokens of latents and prompt."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(patch_size=2, in_channels=16, joint_attention_dim=8)
        self.into = torch.nn.Linear(16, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = torch.nn.Linear(8, 16)
        self.seen = []

    def forward(self, tokens, *, timestep, guidance, prompt):
        self.seen.append((tuple(tokens.shape), float(timestep[0]), guidance.tolist()))
        hidden = self.into(tokens) + (timestep + guidance / 10)[:, None, None]
        context = torch.cat([prompt, hidden], dim=1)
        return self.out(hidden + self.attention(hidden, context, context)[0])


class ToySteps(LatentPipeline):
    output_class = ImagePipelineOutput

    def __init__(self, vae, transformer, scheduler):
        self.register_modules(vae=vae, transformer=transformer, scheduler=scheduler)

    @property
    def do_classifier_free_guidance(self):
        return False

    @property
    def denoiser(self):
        return self.transformer

    @property
    def denoiser_in_channels(self):
        return self.codec.channels

    def trained_size(self):
        return 8, 8

    def check_prompts(self):
        check_prompt(self.call.prompt)
        return batch_size_of(self.call.prompt, None)

    def encode_conditioning(self, height, width):
        texts = [self.call.prompt] if isinstance(self.call.prompt, str) else self.call.prompt
        # A text is the sum of its letters, and that is enough to tell two apart.
        rows = [torch.full((1, 3, 8), sum(map(ord, text)) % 101 / 101) for text in texts]
        return {"prompt_embeds": torch.cat(rows).repeat_interleave(
            self.call.num_images_per_prompt, dim=0
        )}  # fmt: skip

    def denoiser_inputs(self, tensors):
        return {"prompt": tensors["prompt_embeds"]}

    def embed_guidance_scale(self, latents):
        return torch.full((len(latents),), self.guidance_scale)

    def run_denoiser(self, sample, timestep, guidance, inputs):
        height, width = sample.shape[-2:]
        tokens = torch.nn.functional.pixel_unshuffle(sample, 2).flatten(2).transpose(1, 2)
        part = (timestep / 1000).expand(len(sample))
        found = self.denoiser(tokens, timestep=part, guidance=guidance, **inputs).transpose(1, 2)
        found = found.unflatten(2, (height // 2, width // 2))
        return torch.nn.functional.pixel_shuffle(found, 2)


class ToyPipeline(ToySteps, LatentText2Image):
    @pipeline_call
    def __call__(
        self, prompt=None, height=None, width=None, num_inference_steps=4, guidance_scale=3.5,
        num_images_per_prompt=1, generator=None, latents=None, output_type="pt", return_dict=True,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


class ToyImg2ImgPipeline(ToySteps, LatentImage2Image):
    @pipeline_call
    def __call__(
        self, prompt=None, image=None, strength=0.6, num_inference_steps=4, guidance_scale=3.5,
        num_images_per_prompt=1, generator=None, latents=None, output_type="pt", return_dict=True,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


class ToyInpaintPipeline(ToySteps, LatentInpaint):
    @pipeline_call
    def __call__(
        self, prompt=None, image=None, mask_image=None, height=None, width=None, strength=1.0,
        num_inference_steps=4, guidance_scale=3.5, num_images_per_prompt=1, generator=None,
        latents=None, output_type="pt", return_dict=True,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


class ToyPipelineOfTwoHalves(ToyPipeline):
    """As SD3 is: guided by a second half of the batch, which has no prompt."""

    do_classifier_free_guidance = LatentPipeline.do_classifier_free_guidance

    def encode_conditioning(self, height, width):
        embeds = super().encode_conditioning(height, width)["prompt_embeds"]
        if self.do_classifier_free_guidance:
            embeds = torch.cat([torch.zeros_like(embeds), embeds])
        return {"prompt_embeds": embeds}

    def embed_guidance_scale(self, latents):
        return torch.zeros(2 * len(latents) if self.do_classifier_free_guidance else len(latents))


class Small:
    """Calls take nothing that a task can do without."""

    def encode_conditioning(self, height, width):
        self.call = self.call.replace(num_images_per_prompt=1)
        return super().encode_conditioning(height, width)


class SmallPipeline(Small, ToySteps, LatentText2Image):
    @pipeline_call
    def __call__(self, prompt=None, num_inference_steps=4, output_type="pt"):
        return self.run_task()


class SmallImg2ImgPipeline(Small, ToySteps, LatentImage2Image):
    @pipeline_call
    def __call__(
        self, prompt=None, image=None, strength=0.6, num_inference_steps=4, output_type="pt"
    ):
        return self.run_task()


class SmallInpaintPipeline(Small, ToySteps, LatentInpaint):
    @pipeline_call
    def __call__(
        self, prompt=None, image=None, mask_image=None, strength=1.0, num_inference_steps=4,
        output_type="pt",
    ):  # fmt: skip
        return self.run_task()


# What it draws


@pytest.fixture(scope="module")
def components():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            sample_size=16,
        )
        return vae.eval(), ToyTransformer().eval()


@pytest.fixture
def make(components):
    def pipe(kind):
        made = kind(*components, DDIMScheduler(clip_sample=False))
        made.set_progress_bar_config(disable=True)
        made.transformer.seen.clear()
        return made

    return pipe


def draw(pipe, prompt="a cat", seed=0, **given):
    return pipe(prompt=prompt, generator=torch.Generator().manual_seed(seed), **given).images


@pytest.fixture
def image():
    return Image.new("RGB", (16, 16), (200, 30, 60))


@pytest.fixture
def mask():
    found = Image.new("L", (16, 16))
    found.paste(255, (0, 0, 8, 16))
    return found


@pytest.fixture(params=[ToyPipeline, ToyImg2ImgPipeline, ToyInpaintPipeline])
def kind(request):
    return request.param


@pytest.fixture
def given(kind, image, mask):
    """What each task needs besides a prompt."""
    return {
        ToyPipeline: {},
        ToyImg2ImgPipeline: {"image": image},
        ToyInpaintPipeline: {"image": image, "mask_image": mask},
    }[kind]


def test_every_task_draws_and_follows_seed_prompt_and_guidance(make, kind, given):
    pipe = make(kind)
    drawn = draw(pipe, **given)
    assert drawn.shape == (1, 3, 16, 16)
    assert torch.equal(drawn, draw(pipe, **given))
    for change in ({"seed": 1}, {"prompt": "a dog"}, {"guidance_scale": 9.0}):
        assert not torch.equal(drawn, draw(pipe, **{**given, **change})), change
    assert not hasattr(pipe, "unet")


def test_what_a_call_does_not_take_has_its_default(make, kind, given):
    small = {
        ToyPipeline: SmallPipeline,
        ToyImg2ImgPipeline: SmallImg2ImgPipeline,
        ToyInpaintPipeline: SmallInpaintPipeline,
    }[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = make(small)("a cat", **given).images
    assert torch.equal(drawn, draw(make(kind), "a cat", guidance_scale=1.0, **given))


def test_the_transformer_sees_packed_latents_once_a_step(make, kind, given):
    pipe = make(kind)
    draw(pipe, ["a cat", "a dog"], **{**given, "guidance_scale": 5.0})
    shapes, times, scales = zip(*pipe.transformer.seen)
    # Two pictures of 8 x 8 cells, and no second half for the prediction without a prompt.
    assert set(shapes) == {(2, 16, 16)}
    assert all(0 <= one < 1 for one in times)
    assert scales == ([5.0, 5.0],) * len(shapes)
    assert len(shapes) == (2 if kind is ToyImg2ImgPipeline else 4)


def test_a_transformer_is_guided_by_two_halves_as_well(make):
    pipe = make(ToyPipelineOfTwoHalves)
    assert pipe.guidance_embedding_dim is None
    guided, further = draw(pipe), draw(pipe, guidance_scale=9.0)
    assert {shape for shape, *_ in pipe.transformer.seen} == {(2, 16, 16)}
    pipe.transformer.seen.clear()
    alone = draw(pipe, guidance_scale=1.0)
    assert {shape for shape, *_ in pipe.transformer.seen} == {(1, 16, 16)}
    assert float((further - alone).norm()) > float((guided - alone).norm()) > 0


def test_text_to_image_starts_from_the_latents_given_in_any_size(make):
    pipe = make(ToyPipeline)
    assert draw(pipe, height=24, width=16).shape == (1, 3, 24, 16)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(pipe), draw(pipe, latents=noise, seed=5))


def test_an_image_is_kept_the_more_the_less_the_strength(make, image):
    pipe = make(ToyImg2ImgPipeline)
    options = {"image": image, "output_type": "latent", "num_inference_steps": 10}
    clean = pipe.codec.encode(
        pipe.image_processor.preprocess(image), torch.Generator().manual_seed(0)
    )
    distances = [
        float((draw(pipe, strength=strength, **options) - clean).detach().norm())
        for strength in (0.1, 0.5, 1.0)
    ]
    assert distances == sorted(distances)


def test_inpainting_keeps_what_is_outside_the_mask(make, image, mask):
    pipe = make(ToyInpaintPipeline)
    drawn = draw(pipe, image=image, mask_image=mask, output_type="latent")
    clean = pipe.codec.encode(
        pipe.image_processor.preprocess(image), torch.Generator().manual_seed(0)
    )
    assert torch.equal(drawn[..., 4:], clean[..., 4:])
    assert not torch.isclose(drawn[..., :4], clean[..., :4]).any()


def test_errors_come_before_any_step(make, kind, given):
    pipe = make(kind)
    wrong = {"strength": 2.0} if kind is ToyImg2ImgPipeline else {"height": 12}
    for changes in (wrong, {"prompt": None}, {"num_inference_steps": 0}, {"output_type": "x"}):
        with pytest.raises(ArgumentError):
            draw(pipe, **{**given, **changes})
    assert pipe.transformer.seen == []
