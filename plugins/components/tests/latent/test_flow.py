"""A family that follows a flow, with latents that are tokens: schedule, sizes and packing."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from autopipe import AutoencoderKL, DDIMScheduler, FlowMatchEulerDiscreteScheduler
from autopipe.errors import ArgumentError, SchedulerError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import pipeline_call
from autopipe.placement import room
from autopipe_components.latent import (
    FlowPipeline,
    LatentImage2Image,
    LatentInpaint,
    LatentText2Image,
    PackedLatents,
    WholeTokens,
)
from autopipe_components.steps.codec import VaeCodec
from autopipe_components.steps.flow import flow_time

# The family


class ToyFlow(torch.nn.Module):
    def __init__(self, in_channels=16):
        super().__init__()
        self.config = SimpleNamespace(in_channels=in_channels)
        self.layer = torch.nn.Linear(16, 16)
        self.seen = []

    def forward(self, tokens, time):
        self.seen.append((tuple(tokens.shape), float(time[0])))
        return self.layer(tokens) * (1 + time[:, None, None])


class ToySteps(PackedLatents, FlowPipeline):
    output_class = ImagePipelineOutput
    rounds_size = True
    starts_pure = False

    def __init__(self, vae, transformer, scheduler):
        self.register_modules(vae=vae, transformer=transformer, scheduler=scheduler)

    do_classifier_free_guidance = False

    @property
    def denoiser(self):
        return self.transformer

    def default_size(self):
        return 16, 16

    def check_prompts(self):
        return 1

    def encode_conditioning(self, height, width):
        return {"prompt_embeds": torch.zeros(1, 1, 1)}

    def denoiser_inputs(self, tensors):
        return {}

    def embed_guidance_scale(self, latents):
        return None

    def run_denoiser(self, sample, timestep, guidance, inputs):
        return self.denoiser(sample, flow_time(timestep, sample))


class ToyPipeline(ToySteps, LatentText2Image):
    @pipeline_call
    def __call__(
        self, prompt="", height=None, width=None, num_inference_steps=4, sigmas=None,
        generator=None, latents=None, output_type="pt", joint_attention_kwargs=None,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


class ToyImg2ImgPipeline(ToySteps, LatentImage2Image):
    @pipeline_call
    def __call__(
        self, prompt="", image=None, height=None, width=None, strength=0.6, num_inference_steps=4,
        sigmas=None, generator=None, latents=None, output_type="pt", joint_attention_kwargs=None,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


class ToyInpaintPipeline(ToySteps, LatentInpaint):
    _callback_tensor_inputs = ("latents", "mask")

    @pipeline_call
    def __call__(
        self, prompt="", image=None, mask_image=None, height=None, width=None, strength=1.0,
        num_inference_steps=4, sigmas=None, generator=None, latents=None, output_type="pt",
        joint_attention_kwargs=None,
        callback_on_step_end=None, callback_on_step_end_tensor_inputs=("latents",),
    ):  # fmt: skip
        return self.run_task()


# What it draws


@pytest.fixture(scope="module")
def vae():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            sample_size=16,
            shift_factor=0.25,
        ).eval()


@pytest.fixture
def make(vae):
    def pipe(kind, scheduler=None, in_channels=16):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = ToyFlow(in_channels)
        made = kind(vae, network, scheduler or FlowMatchEulerDiscreteScheduler())
        made.set_progress_bar_config(disable=True)
        return made

    return pipe


def draw(pipe, seed=0, **given):
    return pipe(generator=torch.Generator().manual_seed(seed), **given).images


IMAGE = Image.new("RGB", (40, 24), (200, 30, 60))
MASK = Image.new("L", (40, 24))
MASK.paste(255, (0, 0, 20, 24))
GIVEN = {
    ToyPipeline: {},
    ToyImg2ImgPipeline: {"image": IMAGE},
    ToyInpaintPipeline: {"image": IMAGE, "mask_image": MASK},
}

kinds = pytest.mark.parametrize("kind", GIVEN)


@kinds
def test_height_and_width_are_those_of_the_call_rounded_down(make, kind, caplog):
    pipe = make(kind)
    assert draw(pipe, **GIVEN[kind]).shape[-2:] == (16, 16)
    with caplog.at_level(logging.WARNING, "autopipe"):
        assert draw(pipe, height=27, width=8, **GIVEN[kind]).shape[-2:] == (24, 8)
    assert "27 x 8, which become 24 x 8" in caplog.text


@kinds
def test_the_loop_has_tokens(make, kind):
    pipe, seen = make(kind), {}

    def callback(run, step, timestep, tensors):
        seen.update(tensors)
        seen["preview"] = run.preview(tensors["latents"])
        return {}

    names = ["latents", "mask"] if kind is ToyInpaintPipeline else ["latents"]
    drawn = draw(
        pipe, height=16, width=24, output_type="latent", callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=names, **GIVEN[kind],
    )  # fmt: skip
    # 8 x 12 cells of 4 channels are 4 x 6 tokens.
    assert drawn.shape == (1, 24, 16)
    assert {shape for shape, _ in pipe.transformer.seen} == {(1, 24, 16)}
    assert seen["preview"][0].size == (24, 16)
    assert all(seen[name].shape == drawn.shape for name in names)
    with pytest.raises(ArgumentError, match="inside a call"):
        pipe.preview(drawn)


def test_latents_are_given_as_the_loop_has_them(make):
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    pipe = make(ToyPipeline)
    tokens = torch.nn.functional.pixel_unshuffle(noise, 2).flatten(2).transpose(1, 2)
    assert torch.equal(draw(pipe, latents=tokens, seed=3), draw(pipe))
    assert torch.equal(draw(pipe, latents=noise, seed=3), draw(pipe))
    with pytest.raises(ArgumentError, match=r"\(1, 16, 16\)"):
        draw(pipe, latents=tokens[:, 1:])
    given = GIVEN[ToyInpaintPipeline]
    pipe = make(ToyInpaintPipeline)
    assert torch.equal(draw(pipe, latents=tokens, **given), draw(pipe, latents=noise, **given))
    pipe = make(ToyImg2ImgPipeline)
    started = draw(pipe, image=IMAGE, latents=tokens, strength=0.25, output_type="latent")
    others = draw(pipe, image=IMAGE, latents=tokens + 1, strength=0.25, output_type="latent")
    assert not torch.allclose(started, others)


def test_more_tokens_are_shifted_more(make):
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    pipe = make(ToyPipeline, scheduler)
    draw(pipe)
    draw(pipe, height=64, width=64)
    small, large = pipe.transformer.seen[:4], pipe.transformer.seen[4:]
    assert small[0][1] == large[0][1] == 1.0
    assert all(one < more for (_, one), (_, more) in zip(small[1:], large[1:]))


@pytest.mark.parametrize("kind", [ToyImg2ImgPipeline, ToyInpaintPipeline])
def test_strength_trims_the_front(make, kind):
    pipe = make(kind)
    draw(pipe, strength=0.4, num_inference_steps=10, **GIVEN[kind])
    assert [time for _, time in pipe.transformer.seen] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_a_schedule_that_does_not_begin_at_1_keeps_some_of_the_image(make):
    kept = []

    def callback(run, step, timestep, tensors):
        kept.append(tensors["latents"])
        return {}

    pipe = make(ToyInpaintPipeline)
    pipe.transformer.layer.requires_grad_(False).weight.zero_()
    pipe.transformer.layer.bias.zero_()
    options = {"callback_on_step_end": callback, "sigmas": [0.5, 0.25], **GIVEN[ToyInpaintPipeline]}
    draw(pipe, **options)
    draw(pipe, **{**options, "image": Image.new("RGB", (40, 24), "white")})
    # The network changes nothing, so what is repainted stays half an image, which differs.
    first, second = (pixels[:, ::4][:, 0] for pixels in (kept[0], kept[2]))
    assert not torch.allclose(first, second)


def test_inpainting_keeps_what_is_outside_the_mask(make):
    pipe = make(ToyInpaintPipeline)
    drawn = draw(pipe, output_type="latent", **GIVEN[ToyInpaintPipeline])
    clean = pipe.codec.encode(
        pipe.image_processor.preprocess(IMAGE, 16, 16), torch.Generator().manual_seed(0)
    )
    cells = torch.nn.functional.pixel_shuffle(drawn.transpose(1, 2).unflatten(2, (4, 4)), 2)
    assert torch.equal(cells[..., 4:], clean[..., 4:])
    assert not torch.isclose(cells[..., :4], clean[..., :4]).any()


def test_latents_are_shifted_as_the_autoencoder_says(vae):
    pixels = torch.zeros(1, 3, 16, 16)
    codec = VaeCodec(vae)
    source = torch.Generator().manual_seed(0)
    plain = vae.encode(pixels).latent_dist.sample(source)
    encoded = codec.encode(pixels, source.manual_seed(0))
    assert torch.equal(encoded, (plain - 0.25) * vae.config.scaling_factor)
    # The shift is undone, up to rounding.
    assert torch.allclose(codec.decode(encoded), vae.decode(plain).sample, atol=1e-5)


class WholeSteps(WholeTokens, FlowPipeline):
    """A family whose network makes tokens of latents by itself."""

    output_class = ImagePipelineOutput
    keeps_latents = True
    do_classifier_free_guidance = False
    __init__, denoiser = ToySteps.__init__, ToySteps.denoiser
    check_prompts, encode_conditioning = ToySteps.check_prompts, ToySteps.encode_conditioning
    denoiser_inputs = ToySteps.denoiser_inputs
    embed_guidance_scale = ToySteps.embed_guidance_scale

    def run_denoiser(self, sample, timestep, guidance, inputs):
        self.transformer.seen.append(tuple(sample.shape))
        return sample / 2

    def default_size(self):
        return self.size_in_pixels(self.image_processor.preprocess(self.call.image))


class WholeImg2ImgPipeline(WholeSteps, LatentImage2Image):
    __call__ = ToyImg2ImgPipeline.__call__


class WholeInpaintPipeline(WholeSteps, LatentInpaint):
    __call__ = ToyInpaintPipeline.__call__


@pytest.mark.parametrize("kind", [WholeImg2ImgPipeline, WholeInpaintPipeline])
def test_images_are_whole_tokens_whether_the_loop_has_tokens_or_not(make, kind):
    pipe, given = make(kind, in_channels=4), {"image": IMAGE}
    if kind is WholeInpaintPipeline:
        given["mask_image"] = MASK
    # The image is 24 x 40, and a token has 4 pixels on each side.
    assert draw(pipe, **given).shape[-2:] == (24, 40)
    assert draw(pipe, **{**given, "image": IMAGE.resize((43, 27))}).shape[-2:] == (24, 40)
    assert draw(pipe, height=16, width=8, **given).shape[-2:] == (16, 8)
    assert {*pipe.transformer.seen} == {(1, 4, 12, 20), (1, 4, 8, 4)}
    with pytest.raises(ArgumentError, match="divisible by 4"):
        draw(pipe, height=18, **given)


def test_an_image_may_be_encoded_once_for_a_list_of_generators(make):
    drawn = {}
    for once in (False, True):
        kind = type("Pipe", (WholeImg2ImgPipeline,), {"encodes_each": not once})
        pipe = make(kind, in_channels=4)
        latents = pipe.prepare_latents(
            pipe.image_processor.preprocess(IMAGE), torch.tensor([0.0]), 1, 2, torch.float32, "cpu",
            [torch.Generator().manual_seed(seed) for seed in (1, 2)], add_noise=False,
        )  # fmt: skip
        drawn[once] = torch.equal(*latents)
    assert drawn == {False: False, True: True}


def test_latents_of_inpainting_may_be_only_where_it_starts(make):
    pipe = make(WholeInpaintPipeline, in_channels=4)
    options = {"image": IMAGE, "mask_image": MASK, "num_inference_steps": 1}
    first, second = (
        draw(pipe, latents=torch.full((1, 4, 12, 20), value), output_type="latent", **options)
        for value in (1.0, 2.0)
    )
    assert not torch.isclose(first[..., :10], second[..., :10]).any()
    assert torch.equal(first[..., 10:], second[..., 10:])


@kinds
def test_wrong_arguments_are_refused_before_any_step(make, kind):
    pipe, given = make(kind), GIVEN[kind]
    for wrong in (
        {"height": 0.5}, {"num_inference_steps": 0}, {"sigmas": []},
        {"joint_attention_kwargs": {"loud": 1}}, {"latents": torch.zeros(1, 4, 3, 3)},
    ):  # fmt: skip
        with pytest.raises(ArgumentError):
            draw(pipe, **{**given, **wrong})
    with pytest.raises(ArgumentError, match="joint_attention_kwargs"):
        draw(pipe, joint_attention_kwargs=3, **given)
    if kind is ToyImg2ImgPipeline:
        with pytest.raises(ArgumentError, match=r"ask for \(8, 8\)"):
            draw(pipe, image=torch.zeros(1, 4, 6, 6))
    assert pipe.transformer.seen == []
    with pytest.raises(SchedulerError, match="not a scheduler of flows"):
        draw(make(kind, DDIMScheduler()), **given)
    with pytest.raises(ArgumentError, match="it takes 9"):
        draw(make(kind, in_channels=36), **given)


def test_a_size_without_room_is_refused_before_the_image_is_resized(make, monkeypatch):
    pipe = make(ToyImg2ImgPipeline)
    monkeypatch.setattr(room, "whole_memory", lambda device: 1)
    monkeypatch.delattr(type(pipe.image_processor), "preprocess")
    with pytest.raises(ArgumentError, match="would take about"):
        draw(pipe, image=Image.new("RGB", (16, 16)), height=32, width=32)


def test_programs_pack_and_unpack_by_themselves(make):
    pipe = make(ToyPipeline)
    cells = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    tokens = pipe._pack_latents(cells, 2, 4, 6, 8)
    assert tokens.shape == (2, 12, 16)
    assert torch.equal(pipe._unpack_latents(tokens, 12, 16, 2), cells)
    positions = pipe._prepare_latent_image_ids(2, 3, 4, "cpu", torch.float32)
    assert positions[[0, 1, 4]].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]
