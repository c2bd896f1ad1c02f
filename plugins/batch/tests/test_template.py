"""Templates: what they return is what completing returns, and when they complete at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from autopipe.errors import AutopipeError
from autopipe_batch.template import Templates
from autopipe_requests.completing import Completion
from autopipe_requests.inputs import Text
from autopipe_requests.request import Request

MODEL = {"model": "demo:stable_diffusion", "num_inference_steps": 2}


@pytest.fixture(scope="module")
def completion() -> Completion:
    return Completion()


class Counting:
    def __init__(self, completion: Completion) -> None:
        self.completion, self.count = completion, 0

    def __call__(self, given: Mapping[str, Any]) -> Request:
        self.count += 1
        return self.completion.complete(given)


JOBS: list[dict[str, Any]] = [
    {"prompt": "a hut", "seed": 1},
    {"prompt": "a tree", "seed": 2},
    {"prompt": "", "seed": 3},
    {"prompt": "[1, 2]", "seed": 2**63 - 1},
    {"prompt": "é (a:1.2) \x00", "seed": 0},
    {"prompt": "a", "seed": 1, "negative_prompt": "b"},
    {"prompt": "c", "seed": 2, "negative_prompt": "d"},
    {"prompt": "c", "seed": 2, "negative_prompt": Text("d")},
    {"prompt": Text("17"), "seed": 2},
    {"prompt": "a", "seed": 1, "guidance_scale": 3},
    {"prompt": "a", "seed": 1, "guidance_scale": 3.0},
    {"prompt": "b", "seed": 1, "guidance_scale": 4},
    {"prompt": "b", "seed": 1, "scheduler": "ddim"},
    {"seed": 4, "prompt": "b", "scheduler": "ddim"},
]


def test_requests_are_those_of_the_completion(completion: Completion) -> None:
    templates = Templates(Counting(completion))
    for job in [*JOBS, *reversed(JOBS)]:
        expected = completion.complete({**MODEL, **job})
        found = templates({**MODEL, **job})
        assert found == expected
        assert found.id == expected.id
        assert found.model_dump_json() == expected.model_dump_json()


def test_only_the_first_of_a_kind_is_completed(completion: Completion) -> None:
    counting = Counting(completion)
    templates = Templates(counting)
    for number in range(20):
        templates({**MODEL, "prompt": f"number {number}", "seed": number})
    assert counting.count == 1
    templates({**MODEL, "prompt": "a", "seed": 1, "guidance_scale": 2})
    assert counting.count == 2


@pytest.mark.parametrize(
    "wrong", [{"prompt": 3}, {"prompt": None}, {"seed": "x"}, {"seed": True}, {"steps": "x"}]
)
def test_what_is_not_valid_stays_so(completion: Completion, wrong: dict[str, Any]) -> None:
    templates = Templates(completion.complete)
    templates({**MODEL, "prompt": "a", "seed": 1})
    with pytest.raises((AutopipeError, ValueError)):
        templates({**MODEL, "prompt": "a", "seed": 1, **wrong})
