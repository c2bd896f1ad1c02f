"""Placement with real families: added networks are placed, and cancelled calls restore state.

The conformance tests of each family check that placement doesn't change pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import picture
from support.relay import state

from autopipe import AutoPipelineForImage2Image, AutoPipelineForText2Image, ControlNetModel
from autopipe.errors import CancelledError
from autopipe_devkit.conformance.checks.placement import StrictOffload

Place = Callable[[Any, Path], object]

WAYS: dict[str, Place] = {
    "strict": lambda pipe, folder: pipe._pool.place(StrictOffload()),
    "sequential": lambda pipe, folder: pipe.enable_sequential_cpu_offload(device="cpu"),
    "disk": lambda pipe, folder: pipe.set_device_map(
        {"unet": "disk", "": "cpu"}, offload_folder=folder
    ),
}
each_way = pytest.mark.parametrize("place", WAYS.values(), ids=WAYS)

CALL: dict[str, Any] = {"prompt": "a red star", "num_inference_steps": 2, "output_type": "np"}


def load(**keywords: Any) -> Any:
    """Load the demo with its weights copied to memory, since rounding depends on alignment."""
    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion", **keywords)
    for network in pipe._networks().values():
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def images(pipe: Any, **call: Any) -> np.ndarray:
    made: np.ndarray = pipe(**CALL, generator=torch.Generator().manual_seed(0), **call).images
    return made


@each_way
def test_a_controlnet_that_a_view_adds_is_placed(place: Place, tmp_path: Path) -> None:
    pipe = load()
    torch.manual_seed(0)
    controlnet = ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=(8, 16, 32)
    ).eval()
    for parameter in controlnet.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    call = {"image": picture(64, 64)}
    steered = AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet)
    expected, plain = images(steered, **call), images(pipe)
    assert not np.array_equal(expected, plain)

    place(pipe, tmp_path)
    late = AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet)
    for view in (steered, late):
        assert view.placement.title == pipe.placement.title
        assert np.array_equal(images(view, **call), expected)
    back = AutoPipelineForText2Image.from_pipe(late, controlnet=None)
    assert np.array_equal(images(back), plain)
    change = AutoPipelineForImage2Image.from_pipe(back)
    assert images(change, image=picture(64, 64), strength=0.5).shape == plain.shape


@each_way
@pytest.mark.parametrize("stage", ["before encoding", "in a step", "before decoding"])
def test_cancelling_from_another_thread(stage: str, place: Place, tmp_path: Path) -> None:
    pipe = load()
    expected = images(pipe)
    place(pipe, tmp_path)
    before = state(pipe)
    reached, cancelled = Event(), Event()
    ended: list[str] = []

    def wait(*_: Any) -> None:
        reached.set()
        assert cancelled.wait(30)

    def callback(run: Any, step: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        if (stage, step) in (("in a step", 0), ("before decoding", 1)):
            wait()
        return {}

    tokenizer = pipe.tokenizer
    if stage == "before encoding":
        pipe.tokenizer = Waiting(tokenizer, wait)
    hook = pipe.vae.decoder.register_forward_hook(lambda *_: ended.append("decoded"))
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(images, pipe, callback_on_step_end=callback)
        assert reached.wait(30)
        pipe.cancel()
        cancelled.set()
        with pytest.raises(CancelledError):
            call.result(30)
    hook.remove()
    pipe.tokenizer = tokenizer
    assert ended == [], "a cancelled call decodes nothing"
    assert state(pipe) == before
    assert np.array_equal(images(pipe), expected)


class Waiting:
    """A tokenizer that calls a function first."""

    def __init__(self, tokenizer: Any, first: Callable[[], None]) -> None:
        self.tokenizer, self.first = tokenizer, first

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.first()
        return self.tokenizer(*args, **kwargs)


@each_way
def test_an_overflow_is_decoded_again_in_float32_and_said_once(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = load(torch_dtype=torch.float16)
    with torch.no_grad():
        # Twice the largest float16 inside the decoder; later layers reduce it again.
        pipe.vae.decoder.conv_in.weight.mul_(3000)
        pipe.vae.decoder.conv_in.bias.fill_(60000)
    expected = images(pipe)
    assert np.isfinite(expected).all()
    assert caplog.text.count("decoded again in float32") == 1
    place(pipe, tmp_path)
    before = state(pipe)
    assert np.array_equal(images(pipe), expected)
    assert caplog.text.count("decoded again in float32") == 1
    assert state(pipe) == before
    assert pipe.vae.dtype is torch.float16


@each_way
def test_half_precision(place: Place, tmp_path: Path) -> None:
    dtype = torch.bfloat16
    pipe = load(torch_dtype=dtype)
    expected = images(pipe)
    place(pipe, tmp_path)
    assert {item.dtype for item in pipe.placement} == {dtype}
    assert np.array_equal(images(pipe), expected)
    pipe.to(torch.float32).to(dtype)
    assert np.array_equal(images(pipe), expected)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@needs_cuda
@pytest.mark.parametrize("name", ["resident", "model", "sequential", "budget"])
def test_on_a_gpu(name: str, tmp_path: Path) -> None:
    pipe = load().to("cuda")
    expected = images(pipe)
    torch.cuda.reset_peak_memory_stats()
    images(pipe)
    most = torch.cuda.max_memory_allocated()
    if name == "model":
        pipe.enable_model_cpu_offload()
    elif name == "sequential":
        pipe.enable_sequential_cpu_offload()
    elif name == "budget":
        pipe.fit_memory("auto")
    torch.cuda.reset_peak_memory_stats()
    assert np.array_equal(images(pipe), expected)
    if name in ("model", "sequential"):
        assert torch.cuda.max_memory_allocated() < most
        assert all(tensor.device.type != "cuda" for tensor in pipe.unet.parameters())
    pipe.close()
    assert torch.cuda.memory_allocated() < most / 10
