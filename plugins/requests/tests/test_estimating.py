"""What requests take is known before weights are read."""

from __future__ import annotations

import pytest

from autopipe.errors import AutopipeError
from autopipe.registry import Registry
from autopipe_requests.completing import Completion
from autopipe_requests.estimating import estimate
from autopipe_requests.opening import Pipelines
from autopipe_requests.placement import Placement
from autopipe_requests.request import Checkpoint, Request, Stage


def test_weights_are_those_that_are_loaded(toys: Registry) -> None:
    completion = Completion(toys)
    for given in ({}, {"frame": "frame"}, {"image": "photo.png"}, {"model": "film"}):
        request = completion.complete({"model": "paint", "prompt": "a hut", "seed": 1, **given})
        found = estimate(request, toys, local_only=True)
        with Pipelines(Placement(device="cpu"), toys) as pipelines:
            pipe = pipelines.of(request).pipe
            assert found.weights == pipe.placement.size
            assert found.cls is type(pipe)
    assert (found.work, found.size) == (0, None)


def test_later_stages_count(toys: Registry) -> None:
    alone = Request(checkpoint=Checkpoint(name="paint"), seed=0)
    both = alone.model_copy(update={"upscale": (Stage(checkpoint=Checkpoint(name="paint")),)})
    assert estimate(both, toys).weights == 2 * estimate(alone, toys).weights > 0


def test_an_absent_checkpoint_is_an_error(toys: Registry) -> None:
    with pytest.raises(AutopipeError):
        estimate(Request(checkpoint=Checkpoint(name="./absent"), seed=0), toys)
