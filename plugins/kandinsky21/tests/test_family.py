"""The text encoder, the chain and threads, as far as they are this family's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    KandinskyCombinedPipeline,
    KandinskyImg2ImgCombinedPipeline,
    KandinskyInpaintCombinedPipeline,
    KandinskyPipeline,
    KandinskyPriorPipeline,
)
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    CancelledError,
    UnsupportedCheckpointError,
)

AUTOS: dict[Any, Any] = {
    AutoPipelineForText2Image: KandinskyCombinedPipeline,
    AutoPipelineForImage2Image: KandinskyImg2ImgCombinedPipeline,
    AutoPipelineForInpainting: KandinskyInpaintCombinedPipeline,
}
CALL: dict[str, Any] = {
    "height": 16,
    "width": 16,
    "num_inference_steps": 2,
    "prior_num_inference_steps": 2,
    "output_type": "latent",
}


def test_padding_is_left_out_of_the_mean(text_encoder: Any, tokenizer: Any) -> None:
    short, long = (
        tokenizer("a cat", padding="max_length", max_length=n, return_tensors="pt") for n in (8, 20)
    )
    with torch.no_grad():
        found, expected = (text_encoder(**one)[0] for one in (short, long))
    # Float32: sums of more or fewer zeros.
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("auto", AUTOS, ids=lambda auto: auto.__name__)
def test_a_decoder_opens_with_its_prior(build: Callable[..., Any], folder: Path, auto: Any) -> None:
    build(KandinskyPriorPipeline).save_pretrained(folder / "prior")
    ours = build(KandinskyPipeline)
    ours.save_pretrained(folder / "decoder")
    assert ours.index()["text_encoder"] == ["kandinsky", "MultilingualCLIP"]
    (folder / "decoder" / "README.md").write_text("---\nprior: ../prior\n---\n", "utf-8")
    for name in ("scheduler", "prior_scheduler"):
        with pytest.raises(ArgumentTypeError, match="scheduler must be a scheduler"):
            auto.from_pretrained(folder / "decoder", **{name: ours.tokenizer})
    pipe = auto.from_pretrained(folder / "decoder")
    assert type(pipe) is AUTOS[auto]
    for name, tensor in ours.text_encoder.state_dict().items():
        assert torch.equal(tensor, pipe.text_encoder.state_dict()[name]), name


def test_threads_and_cancelling(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyCombinedPipeline)

    def draw(number: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(number)
        steps = {"num_inference_steps": 2 + number, "prior_num_inference_steps": 2 + number}
        return pipe("a cat", **{**CALL, **steps}, generator=generator).images

    serial = [draw(number) for number in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert all(map(torch.equal, threads.map(draw, range(3)), serial))
    with pytest.raises(CancelledError):
        pipe("a cat", **CALL, callback_on_step_end=lambda *a: pipe.cancel())


def test_errors(build: Callable[..., Any]) -> None:
    pipe = build(KandinskyCombinedPipeline)
    with pytest.raises(UnsupportedCheckpointError, match="controlnet"):
        AutoPipelineForText2Image.from_pipe(pipe, controlnet=torch.nn.Identity())
    with pytest.raises(ArgumentError, match=r"also needs a prior.* as prior="):
        AutoPipelineForText2Image.from_pipe(build(KandinskyPipeline))
    embeds = torch.zeros(2, 16)
    with pytest.raises(ArgumentError, match="1 prompts for 2"):
        pipe.decoder_pipe("a cat", embeds, embeds, height=16, width=16)
