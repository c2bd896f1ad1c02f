"""Where latents start, against diffusers' pipelines: the same draws in the same order.

Both sides use one autoencoder and the schedulers of diffusers, so that only the stages differ,
and all results are equal to the bit, but for those whose tolerance says why. After each
comparison the generators must be in the same state too: what a later step draws depends on it.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from autopipe_components.steps.codec import PixelCodec, VaeCodec
from autopipe_components.steps.guidance import embed_scale, guide
from autopipe_components.steps.image2image import add_noise, encode_start
from autopipe_components.steps.inpaint import start_inpainting
from autopipe_components.steps.text2image import start_from_noise
from autopipe_components.steps.timesteps import keep_tail, set_schedule, start_at, stop_at

pytestmark = pytest.mark.parity
diffusers = pytest.importorskip("diffusers")

SCHEDULERS = [
    "DDIMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
]
PLACE = {"dtype": torch.float32, "device": "cpu"}
SIZE, FACTOR = 16, 4


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=2,
        layers_per_block=1,
    ).eval()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def scheduler(name: str, steps: int = 10):
    made = getattr(diffusers, name)()
    made.set_timesteps(steps)
    return made


def stand_in(pipeline: type, vae, scheduler):
    """An object with the private methods of a pipeline and just what they read."""
    names = ("prepare_latents", "prepare_mask_latents", "_encode_vae_image", "get_timesteps")
    methods = {name: getattr(pipeline, name) for name in names if hasattr(pipeline, name)}
    made = type("StandIn", (), methods)()
    made.vae, made.scheduler, made.vae_scale_factor = vae, scheduler, FACTOR
    return made


def seeded(many: int | None):
    """A generator, or a list of `many`."""
    if many is None:
        return torch.Generator().manual_seed(7)
    return [torch.Generator().manual_seed(seed) for seed in range(many)]


def states(generator) -> list[list[int]]:
    many = generator if isinstance(generator, list) else [generator]
    return [one.get_state().tolist() for one in many]


def noise_like(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(99))


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("many", [None, 3])
@pytest.mark.parametrize("given", [False, True])
def test_text_to_image(vae, name, many, given):
    pipe = stand_in(diffusers.StableDiffusionPipeline, vae, scheduler(name))
    latents = noise_like(3, 4, 4, 4) if given else None
    ours, theirs = seeded(many), seeded(many)
    expected = pipe.prepare_latents(3, 4, SIZE, SIZE, generator=theirs, latents=latents, **PLACE)
    sigma = pipe.scheduler.init_noise_sigma
    found = start_from_noise(
        (3, 4, 4, 4), generator=ours, init_noise_sigma=sigma, latents=latents, **PLACE
    )
    assert torch.equal(found, expected)
    assert states(ours) == states(theirs)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("strength", [0.15, 0.5, 0.8, 1.0])
def test_the_tail_of_a_schedule(name, strength):
    pipe = stand_in(diffusers.StableDiffusionImg2ImgPipeline, None, scheduler(name))
    timesteps, steps = pipe.get_timesteps(10, strength, "cpu")
    ours = scheduler(name)
    tail = keep_tail(ours, steps=10, strength=strength)
    assert torch.equal(tail.timesteps, timesteps)
    assert tail.steps == steps
    assert getattr(ours, "begin_index", None) == getattr(pipe.scheduler, "begin_index", None)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.55, 0.8])
def test_the_parts_of_a_schedule(name, fraction):
    pipe = stand_in(diffusers.StableDiffusionXLImg2ImgPipeline, None, scheduler(name))
    timesteps, steps = pipe.get_timesteps(10, 0.3, "cpu", denoising_start=fraction)
    ours = scheduler(name)
    rest = start_at(ours, fraction)
    assert torch.equal(rest.timesteps, timesteps)
    # The reference calls each timestep a step, also where a solver of order 2 takes two for one.
    assert rest.steps == math.ceil(steps / ours.order)
    whole = set_schedule(ours, num_inference_steps=10)
    first = stop_at(ours, whole, fraction).timesteps
    cut_off = round(1000 - fraction * 1000)
    assert first.tolist() == [t for t in ours.timesteps.tolist() if t >= cut_off]


@pytest.mark.parametrize(
    "custom",
    [
        {"num_inference_steps": 4},
        {"timesteps": [900, 500, 100]},
        {"sigmas": [10.0, 3.0, 0.5]},
    ],
)
def test_schedules(custom):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps

    ours, theirs = (diffusers.EulerDiscreteScheduler() for _ in range(2))
    timesteps, steps = retrieve_timesteps(theirs, device="cpu", **custom)
    found = set_schedule(ours, device="cpu", **custom)
    assert torch.equal(found.timesteps, timesteps)
    assert torch.equal(ours.sigmas, theirs.sigmas)
    assert found.steps == steps


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("images", [1, 2, 4])
@pytest.mark.parametrize("many", [None, 4])
@pytest.mark.parametrize("channels", [3, 4])
def test_image_to_image(vae, name, images, many, channels):
    image = noise_like(images, channels, SIZE, SIZE)
    pipe = stand_in(diffusers.StableDiffusionImg2ImgPipeline, vae, scheduler(name))
    timesteps, _ = pipe.get_timesteps(10, 0.6, "cpu")
    ours, theirs = seeded(many), seeded(many)
    expected = pipe.prepare_latents(
        image, timesteps[:1].repeat(4), 2, 2, torch.float32, "cpu", generator=theirs
    )
    own = scheduler(name)
    tail = keep_tail(own, steps=10, strength=0.6)
    clean = encode_start(VaeCodec(vae), image, batch_size=4, generator=ours, **PLACE)
    found = add_noise(own, clean, timestep=tail.timesteps[0], generator=ours)
    assert torch.equal(found, expected)
    assert states(ours) == states(theirs)


def test_image_to_image_of_pixels():
    own = diffusers.DDPMScheduler()
    image = noise_like(2, 3, SIZE, SIZE)
    ours, theirs = seeded(None), seeded(None)
    clean = encode_start(PixelCodec(), image, batch_size=2, generator=ours, **PLACE)
    found = add_noise(own, clean, timestep=torch.tensor(500), generator=ours)
    noise = torch.randn(image.shape, generator=theirs)
    assert torch.equal(found, own.add_noise(image, noise, torch.tensor([500, 500])))
    assert states(ours) == states(theirs)


INPAINTS = list(
    itertools.product(
        ["StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline"],
        [4, 9],  # channels of the network
        [1.0, 0.9999, 0.5],
        [(1, 1), (2, 1), (2, 2)],  # images, masks
        [None, 4],  # generators
        [False, True],  # latents given
    )
)


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize(
    ("pipeline", "in_channels", "strength", "counts", "many", "given"), INPAINTS
)
def test_inpainting(vae, name, pipeline, in_channels, strength, counts, many, given):
    vae.register_to_config(force_upcast=False)
    image = noise_like(counts[0], 3, SIZE, SIZE).clamp(-1, 1)
    mask = (noise_like(counts[1], 1, SIZE, SIZE) > 0).float()
    latents = noise_like(4, 4, 4, 4) if given else None
    ours, theirs = seeded(many), seeded(many)

    pipe = stand_in(getattr(diffusers, pipeline), vae, scheduler(name))
    timesteps, _ = pipe.get_timesteps(10, strength, "cpu")
    prepared = pipe.prepare_latents(
        4,
        4,
        SIZE,
        SIZE,
        torch.float32,
        "cpu",
        theirs,
        latents,
        image=image,
        timestep=timesteps[:1].repeat(4),
        is_strength_max=strength == 1.0,
        return_noise=True,
        return_image_latents=in_channels == 4,
    )
    small, masked = pipe.prepare_mask_latents(
        mask, image * (mask < 0.5), 4, SIZE, SIZE, torch.float32, "cpu", theirs, True
    )

    own = scheduler(name)
    tail = keep_tail(own, steps=10, strength=strength)
    found = start_inpainting(
        VaeCodec(vae),
        own,
        image=image,
        mask=mask,
        timestep=tail.timesteps[0],
        strength=strength,
        batch_size=4,
        in_channels=in_channels,
        generator=ours,
        latents=latents,
        guided=True,
        **PLACE,
    )
    assert torch.equal(found.latents, prepared[0])
    assert torch.equal(found.noise, prepared[1])
    assert torch.equal(found.mask, small)
    assert torch.equal(found.masked_image_latents, masked)
    assert states(ours) == states(theirs)
    if in_channels == 4:
        assert torch.equal(found.original, prepared[2])
    else:
        assert found.original is None
        assert sum(one.shape[1] for one in found.extra_channels()) == 5


@pytest.mark.parametrize("scale", [1.5, 7.5])
@pytest.mark.parametrize("rescale", [0.3, 1.0])
def test_guidance(scale, rescale):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    prediction = noise_like(4, 4, 6, 5)
    without, with_text = prediction.chunk(2)
    plain = without + scale * (with_text - without)
    assert torch.equal(guide(prediction, scale), plain)
    expected = rescale_noise_cfg(plain, with_text, rescale)
    assert torch.equal(guide(prediction, scale, rescale=rescale), expected)


@pytest.mark.parametrize("dim", [256, 33])
def test_the_scale_as_an_embedding(dim):
    theirs = diffusers.StableDiffusionPipeline.get_guidance_scale_embedding
    expected = theirs(None, torch.tensor(7.5 - 1).repeat(2), embedding_dim=dim)
    assert torch.equal(embed_scale(7.5, 2, dim, dtype=torch.float32), expected)
