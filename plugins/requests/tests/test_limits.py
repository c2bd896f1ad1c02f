"""What a request has far more of than usual is told."""

from __future__ import annotations

from typing import Any

import pytest

from autopipe_requests.limits import beyond_usual
from autopipe_requests.request import Addition, Checkpoint, Request, Scheduler, Stage

CHECKPOINT = Checkpoint(name="demo:toys")


def request(**given: Any) -> Request:
    return Request(checkpoint=CHECKPOINT, seed=2**62, **given)


USUAL: dict[str, Any] = {
    "size": (4096, 4096),
    "arguments": {
        "num_inference_steps": 1000, "height": 2048, "width": 8192, "timesteps": [999] * 1000,
        "guidance_scale": 1e9, "prompt": "x" * 100_000, "flag": True, "original_size": [9999, 9999],
        "image": {"file": "a.png"},
    },
    "scheduler": Scheduler(name="A", config={"num_train_timesteps": 1000}),
}  # fmt: skip


def test_usual_requests_are_passed() -> None:
    assert beyond_usual(request()) == []
    assert beyond_usual(request(**USUAL), rows=16) == []
    assert beyond_usual(request(), rows=1000) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"size": (4096, 4097)}, "4,096 x 4,097 pixels"),
        ({"arguments": {"width": 65536}}, "65,536 pixels"),
        ({"arguments": {"num_frames": 1001}}, "num_frames 1,001"),
        ({"arguments": {"sigmas": [0.1] * 1001}}, "sigmas with 1,001 entries"),
        ({"arguments": {"prompt": "x" * 200_000}}, "prompt of 200,000 characters"),
        (
            {"scheduler": Scheduler(name="A", config={"num_train_timesteps": 10**12})},
            "num_train_timesteps 1,000,000,000,000",
        ),
        (
            {"upscale": (Stage(checkpoint=CHECKPOINT, arguments={"num_inference_steps": 9999}),)},
            "num_inference_steps 9,999",
        ),
        ({"addons": (Addition(addon="glow"),) * 65}, "65 add-ons"),
        ({"upscale": (Stage(checkpoint=CHECKPOINT),) * 5}, "5 enlargements"),
    ],
)
def test_what_is_beyond_is_told(given: dict[str, Any], told: str) -> None:
    assert beyond_usual(request(**given)) == [told]


@pytest.mark.parametrize(
    "given",
    [
        {"size": (1024, 2048)},
        {"arguments": {"width": 4096}},
        {"upscale": (Stage(checkpoint=CHECKPOINT, arguments={"width": 1024, "height": 2048}),)},
    ],
)
def test_the_pixels_of_all_results_of_a_call_count(given: dict[str, Any]) -> None:
    told = "129 results with 270,532,608 pixels together in one call"
    assert beyond_usual(request(**given), rows=128) == []
    assert beyond_usual(request(**given), rows=129) == [told]


def test_the_results_of_one_call_count() -> None:
    assert beyond_usual(request(size=(9999, 9999)), rows=2000) == [
        "2,000 results in one call", "9,999 x 9,999 pixels",
    ]  # fmt: skip
