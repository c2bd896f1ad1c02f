"""Sounds: their length and form, and what carries them from a request to a file."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import AutoPipelineForUnconditionalAudio, DanceDiffusionPipeline, DDIMScheduler
from autopipe.cli import main
from autopipe.errors import ArgumentError, ConfigError

from .small import small

RATE = 20


@pytest.fixture(scope="module")
def pipe() -> Any:
    return small("DanceDiffusionPipeline")


@pytest.fixture(scope="module")
def folder(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("dance")
    pipe.save_pretrained(found)
    return found


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize(("seconds", "samples"), [(None, 24), (0.6, 12), (1.27, 25), (2, 40)])
def test_the_length_in_seconds(pipe: Any, seconds: float | None, samples: int) -> None:
    made = pipe(2, 2, audio_length_in_s=seconds).audios
    assert (made.shape, made.dtype) == ((2, 2, samples), np.float32)
    assert np.abs(made).max() <= 1
    assert pipe.sampling_rate == RATE


def test_given_noise_has_the_length_that_the_network_takes(pipe: Any) -> None:
    """Of 25 samples, it gets 28."""
    noise = torch.randn(1, 2, 28, generator=seeded(1))
    drawn, given = (
        pipe(num_inference_steps=2, audio_length_in_s=1.27, **call).audios
        for call in ({"generator": seeded(1)}, {"latents": noise})
    )
    assert np.array_equal(drawn, given)
    with pytest.raises(ArgumentError, match="latents have shape"):
        pipe(latents=noise[..., :25], audio_length_in_s=1.27)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"audio_length_in_s": 0.5}, r"asks for 10 samples.* takes 12 \(0.6 s\) or more"),
        ({"audio_length_in_s": -1}, "too short"),
        ({"audio_length_in_s": float("nan")}, "audio_length_in_s is nan"),
        ({"audio_length_in_s": 1e300}, "the limit is"),
        ({"audio_length_in_s": 1e7}, "the length"),
        ({"audio_length_in_s": "long"}, "audio_length_in_s is a str"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"generator": [torch.Generator()] * 2}, "list of 2 generators"),
    ],
)
def test_wrong_arguments(
    pipe: Any, monkeypatch: pytest.MonkeyPatch, call: dict[str, Any], said: str
) -> None:
    def used(*args: Any, **kwargs: Any) -> None:
        pytest.fail("the network was used before the error")

    monkeypatch.setattr(autopipe.UNet1DModel, "forward", used)
    with pytest.raises(ArgumentError, match=said):
        pipe(**call)


def test_without_a_rate_the_length_is_that_of_the_training() -> None:
    pipe = small("DanceDiffusionPipeline", sample_rate=None)
    assert pipe(num_inference_steps=1).audios.shape == (1, 2, 24)
    with pytest.raises(ArgumentError, match="needs a sample_rate"):
        pipe(audio_length_in_s=1.0)


def test_other_schedulers_draw_too(pipe: Any) -> None:
    """The one of the checkpoint isn't asked of them."""
    other = DanceDiffusionPipeline(pipe.unet, DDIMScheduler(clip_sample=False))
    other.set_progress_bar_config(disable=True)
    assert np.isfinite(other(num_inference_steps=2).audios).all()


def test_hostile_configs(pipe: Any, folder: Path) -> None:
    file = folder / "unet" / "config.json"
    content = file.read_text(encoding="utf-8")
    for change in (
        {"sample_size": 10**12},
        {"block_out_channels": [32, 1 << 20]},
        {"layers_per_block": 10**6},
        {"extra_in_channels": -1},
        {"time_embedding_dim": 1 << 40},
    ):
        file.write_text(json.dumps({**json.loads(content), **change}), encoding="utf-8")
        with pytest.raises(ConfigError, match=next(iter(change))):
            autopipe.DiffusionPipeline.from_pretrained(folder)
    file.write_text(content, encoding="utf-8")


def test_the_command_line_writes_a_sound(
    pipe: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the samples of the call, and the settings that draw it again."""
    file = tmp_path / "sound.wav"
    options = ["--task", "unconditional-audio", "--model", str(folder), "--seed", "5"]
    assert (
        main(["generate", *options, "--steps", "2", "--seconds", "1", "-q", "-o", str(file)]) == 0
    )
    opened: Any = AutoPipelineForUnconditionalAudio.from_pretrained(folder)
    expected = opened(num_inference_steps=2, audio_length_in_s=1, generator=seeded(5)).audios[0]
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 2, 2)
        frames = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(frames.T / 32767, expected, atol=1 / 32767)
    capsys.readouterr()
    assert main(["replay", str(file), "--check", "-q"]) == 0
