"""Pipelines of classes and of sounds against the reference, and the networks they use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.parity import generators
from support.tiny import seeded

import autopipe
from autopipe import (
    ConsistencyModelPipeline,
    DanceDiffusionPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    UNet1DModel,
)

from ..small import DIT, TRAJECTORY, VALUE, WAVE

pytestmark = pytest.mark.parity

Compare = Callable[..., np.ndarray]

ROUNDED = {"rtol": 1e-5, "atol": 1e-5}
"""Of float32 over the layers of a tiny network, which are summed in another order."""


@pytest.mark.parametrize(
    "call",
    [
        {"output_type": "pil"},
        {"guidance_scale": 1.0},
        {"class_labels": [5, 999, 0], "seed": [3, 4, 5]},
        {"class_labels": [1000]},
        {"output_type": "pt", "num_inference_steps": 1},
    ],
)
def test_classes(compare: Compare, call: dict[str, Any]) -> None:
    made = compare(DiTPipeline, **{"class_labels": [2, 7], **call})
    assert made.std() > 0.01


@pytest.mark.parametrize(
    "name",
    ["DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "PNDM", "UniPCMultistep"],
)
def test_schedulers_of_classes(compare: Compare, name: str) -> None:
    """Those in the variance-preserving view; to others the reference gives scaled samples."""
    scheduler = getattr(autopipe, f"{name}Scheduler")()
    compare(
        DiTPipeline, class_labels=[3], num_inference_steps=5, components={"scheduler": scheduler}
    )


def test_noise_of_steps_without_a_generator(compare: Compare) -> None:
    """The reference draws it globally, and under guidance for both halves."""
    components = {"scheduler": DDPMScheduler()}
    compare(DiTPipeline, class_labels=[3, 4], guidance_scale=1.0, seed=None, components=components)


@pytest.mark.parametrize(
    "call",
    [
        {"class_labels": [1, 2], "batch_size": 2, "seed": [3, 4]},
        {"class_labels": 2, "num_inference_steps": 1},
        {"class_labels": [0], "num_inference_steps": None, "timesteps": [22, 5, 0]},
        {"batch_size": 3, "seed": None},
        {"class_labels": [0], "latents": torch.ones(1, 3, 8, 8)},
    ],
)
def test_consistency(compare: Compare, call: dict[str, Any]) -> None:
    compare(ConsistencyModelPipeline, components={"num_class_embeds": 3}, **call)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"batch_size": 2, "seed": [3, 4]},
        {"audio_length_in_s": 0.6},
        {"audio_length_in_s": 1.27, "batch_size": 2},
        {"num_inference_steps": 1},
    ],
)
def test_sounds(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    call: dict[str, Any],
) -> None:
    ours = build(DanceDiffusionPipeline)
    theirs = reference(ours)
    seed = call.pop("seed", 1)
    call = {"num_inference_steps": 5, **call}
    found, expected = (one(**call, generator=generators(seed)) for one in (ours, theirs))
    assert list(found) == list(expected) == ["audios"]
    assert found.audios.dtype == expected.audios.dtype
    # Of samples in [-1, 1].
    assert record("DanceDiffusionPipeline, audios", found.audios, expected.audios) < 1e-5


def test_errors_of_sounds(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(DanceDiffusionPipeline)
    for pipe in (ours, reference(ours)):
        with pytest.raises(ValueError, match=r"0\.6"):
            pipe(audio_length_in_s=0.3)


@pytest.mark.parametrize("kind", [DiTPipeline, DanceDiffusionPipeline])
def test_the_configs_have_the_same_keys(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    kind: Any,
) -> None:
    # The reference reads the names of classes, and doesn't write them.
    ours = build(kind, **({"id2label": None} if kind is DiTPipeline else {}))
    saved_alike(ours, reference(ours))


def test_names_of_classes(reference: Callable[[Any], Any], build: Callable[..., Any]) -> None:
    ours = build(DiTPipeline)
    theirs = reference(ours)
    assert theirs.labels == ours.labels
    assert theirs.get_label_ids(["dog", "cat"]) == ours.get_label_ids(["dog", "cat"])


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"time_embedding_dim": None, "extra_in_channels": 64},
        {"time_embedding_type": "positional", "extra_in_channels": 32},
        {
            "block_out_channels": (32, 64, 32),
            "down_block_types": ("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
            "up_block_types": ("UpBlock1D", "AttnUpBlock1D", "UpBlock1DNoSkip"),
        },
        TRAJECTORY,
        {**TRAJECTORY, "up_block_types": ("UpResnetBlock1D",) * 2, "layers_per_block": 2},
        {**TRAJECTORY, "out_block_type": None, "time_embedding_type": "fourier"},
        VALUE,
    ],
)
def test_one_dimensional_networks(twin: Callable[[Any], Any], config: dict[str, Any]) -> None:
    base = {} if "act_fn" in config else WAVE
    ours = seeded(lambda: UNet1DModel(**{**base, **config}))
    theirs = twin(ours)
    length = 16 if config is VALUE else 48
    sample = torch.randn(2, ours.sample_channels, length)
    times = torch.tensor([0.2, 0.7]) if config is not VALUE else torch.tensor([3, 800])
    torch.testing.assert_close(ours(sample, times).sample, theirs(sample, times).sample, **ROUNDED)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"activation_fn": "geglu", "attention_bias": False, "norm_elementwise_affine": True},
        {"patch_size": 1, "out_channels": None, "activation_fn": "gelu", "norm_eps": 0.1},
    ],
)
@pytest.mark.parametrize("side", [4, 6])
def test_transformers(twin: Callable[[Any], Any], config: dict[str, Any], side: int) -> None:
    ours = seeded(lambda: DiTTransformer2DModel(**{**DIT, **config}))
    theirs = twin(ours)
    given = torch.randn(2, 4, side, side), torch.tensor([1, 900]), torch.tensor([0, 1000])
    torch.testing.assert_close(ours(*given).sample, theirs(*given).sample, **ROUNDED)


@pytest.mark.parametrize("name", ["DiTTransformer2DModel", "UNet1DModel"])
def test_defaults_have_the_tensors_of_the_reference(name: str) -> None:
    import diffusers

    found = []
    for library in (autopipe, diffusers):
        with torch.device("meta"):
            # The reference's defaults of UNet1DModel fit by this alone.
            further = {"extra_in_channels": 64} if name == "UNet1DModel" else {}
            network = getattr(library, name)(**further)
        found.append({key: one.shape for key, one in network.state_dict().items()})
    assert found[0] == found[1]


def test_loops_of_programs(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(ConsistencyModelPipeline, num_class_embeds=3)
    made = []
    for pipe in (ours, reference(ours)):
        pipe.check_inputs(2, None, torch.ones(2, 3, 8, 8), 2, 8, 1)
        with pytest.raises(ValueError, match="latents"):
            pipe.check_inputs(2, None, torch.ones(2, 3, 8, 9), 2, 8, 1)
        source = torch.Generator().manual_seed(1)
        latents = pipe.prepare_latents(2, 3, 8, 8, torch.float32, torch.device("cpu"), source)
        torch.manual_seed(2)
        drawn = pipe.prepare_class_labels(2, torch.device("cpu"))
        given = pipe.prepare_class_labels(2, torch.device("cpu"), [2, 0])
        images = pipe.postprocess_image(latents / 80, "np")
        made.append([latents, drawn.long(), given.long(), torch.from_numpy(images)])
    for one, other in zip(*made):
        torch.testing.assert_close(one, other)
    sigma = torch.tensor(3.0)
    torch.testing.assert_close(
        ours.scheduler.get_scalings(sigma), reference(ours).scheduler.get_scalings(sigma)
    )
