"""Pictures of latents without decoding them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.tiny import seeded

from autopipe import AutoencoderTiny, AutoPipelineForText2Image
from autopipe.errors import ArgumentError

LEVELS = {f"num_{part}_blocks": (1, 1, 1) for part in ("encoder", "decoder")}
WIDTHS = {f"{part}_block_out_channels": (8, 8, 8) for part in ("encoder", "decoder")}


@pytest.fixture(scope="module")
def pipe() -> Any:
    made = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    made.set_progress_bar_config(disable=True)
    return made


def draw(pipe: Any, **options: Any) -> Any:
    call = {"num_inference_steps": 12, "generator": torch.Generator().manual_seed(1), **options}
    return pipe("a red circle on a white background", **call).images


def away(one: Any, other: Any) -> float:
    """The mean difference of two pictures in the colours of blocks of 4 x 4 pixels, in [0, 1]."""
    values = (
        np.asarray(x, float).reshape(16, 4, 16, 4, 3).mean((1, 3)) / 255 for x in (one, other)
    )
    return float(np.abs(next(values) - next(values)).mean())


def test_it_shows_nearly_what_decoding_shows(pipe: Any) -> None:
    picture = draw(pipe)[0]
    (shown,) = pipe.preview(draw(pipe, output_type="latent"))
    assert shown.size == picture.size
    blank = np.full((64, 64, 3), np.asarray(picture).mean((0, 1)))
    assert away(shown, picture) < 0.1 < away(blank, picture)


def test_in_a_callback_it_changes_nothing(pipe: Any) -> None:
    plain = draw(pipe)[0]
    shown = []

    def show(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        shown.extend(run.preview(tensors["latents"]))
        return {}

    assert np.array_equal(draw(pipe, callback_on_step_end=show)[0], plain)
    assert len(shown) == 12
    distances = [away(one, plain) for one in shown]
    assert distances[-1] < distances[0]


def test_it_encodes_once(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    latents = torch.randn(2, 4, 16, 16)
    assert len(pipe.preview(latents)) == 2
    monkeypatch.setattr(type(pipe.vae), "encode", None)
    pipe.preview(latents)


def test_noise_of_any_level_gives_the_same_contrast(pipe: Any) -> None:
    noise = torch.randn(1, 4, 16, 16)
    one, other = pipe.preview(torch.cat([noise, 14.6 * noise]))
    # Only rounding to 8 bits differs.
    assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 16


def test_a_tiny_autoencoder_decodes(pipe: Any) -> None:
    tiny = seeded(lambda: AutoencoderTiny(**LEVELS, **WIDTHS))
    latents = 2 * torch.randn(1, 4, 16, 16)  # Below a deviation of 1 they aren't scaled.
    expected = pipe.image_processor.postprocess(tiny.decode(latents / latents.std()).sample)[0]
    (found,) = pipe.preview(latents, vae=tiny)
    assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= 1
    with_it = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion", vae=tiny)
    assert np.array_equal(with_it.preview(latents)[0], found)


@pytest.fixture
def without(pipe: Any) -> Any:
    return type(pipe)(**{**pipe.components, "vae": None})


def test_what_can_not_be_shown_is_refused(pipe: Any, without: Any) -> None:
    with pytest.raises(ArgumentError, match="vae"):
        without.preview(torch.randn(1, 4, 8, 8))
    with pytest.raises(ArgumentError, match="latents have shape"):
        pipe.preview(torch.randn(4, 8, 8))
