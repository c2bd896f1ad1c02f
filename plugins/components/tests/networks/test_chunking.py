"""Feed-forward layers in chunks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_components.networks.transformer import FeedForward
from autopipe_components.networks.unet import UNet2DConditionModel


@pytest.mark.parametrize("options", [{}, {"chunk_size": 2}, {"chunk_size": 5, "dim": 1}], ids=str)
def test_the_result_is_the_same(
    make_unet: Callable[..., UNet2DConditionModel],
    draw: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    unet, given = make_unet(), (draw(3, 4, 8, 8), 5, draw(3, 3, 12))
    usual = unet(*given).sample
    seen: list[torch.Size] = []
    forward = FeedForward.forward

    def watched(self: Any, hidden: Tensor) -> Tensor:
        seen.append(hidden.shape)
        return forward(self, hidden)

    monkeypatch.setattr(FeedForward, "forward", watched)
    unet.enable_forward_chunking(**options)
    # Batches of another size add up in another order.
    torch.testing.assert_close(unet(*given).sample, usual, rtol=1e-4, atol=1e-5)
    dim, size = options.get("dim", 0), options.get("chunk_size", 1)
    assert max(shape[dim] for shape in seen) == size
    for way in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        assert torch.equal(way(unet)(*given).sample, unet(*given).sample)
    unet.disable_forward_chunking()
    assert torch.equal(unet(*given).sample, usual)


def test_other_chunks_are_refused(make_unet: Callable[..., UNet2DConditionModel]) -> None:
    for options in ({"chunk_size": 0}, {"dim": 2}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            make_unet().enable_forward_chunking(**options)
