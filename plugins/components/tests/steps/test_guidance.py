from __future__ import annotations

import pytest
import torch

from autopipe_components.steps.guidance import double, embed_scale, guide, half_of


def prediction() -> torch.Tensor:
    return torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def test_the_ends_of_the_scale():
    unconditional, conditional = prediction().chunk(2)
    assert torch.equal(guide(prediction(), 0.0), unconditional)
    # u + (c - u) is c up to rounding.
    torch.testing.assert_close(guide(prediction(), 1.0), conditional, rtol=0, atol=1e-6)


def test_full_rescaling_gives_each_sample_the_deviation_of_the_conditional():
    _, conditional = prediction().chunk(2)
    found = guide(prediction(), 9.0, rescale=1.0).flatten(1).std(dim=1)
    # Single precision over 90 values.
    torch.testing.assert_close(found, conditional.flatten(1).std(dim=1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("rescale", [0.25, 0.75])
def test_rescaling_mixes(rescale):
    plain, full = guide(prediction(), 5.0), guide(prediction(), 5.0, rescale=1.0)
    found = guide(prediction(), 5.0, rescale=rescale)
    # The same sum in another order.
    torch.testing.assert_close(found, plain + rescale * (full - plain), rtol=0, atol=1e-5)


def test_doubling():
    assert double(torch.tensor([1, 2])).tolist() == [1, 2, 1, 2]


def test_embeddings_tell_scales_apart_and_no_guidance_is_zero():
    off = embed_scale(1.0, 2, 8, dtype=torch.float32)
    assert off.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 2
    assert not torch.equal(embed_scale(7.5, 2, 8, dtype=torch.float32), off)


def test_halves_of_all_doubled_tensors_in_a_call():
    plain, doubled = torch.arange(3.0), torch.arange(4.0).reshape(4, 1)
    inputs = {"a": doubled, "b": {"c": (doubled, None)}, "one": torch.tensor(1.0), "all": plain}
    for half, rows in enumerate(([0.0, 1.0], [2.0, 3.0])):
        found = half_of(inputs, 2, half)
        assert found["a"].flatten().tolist() == rows
        assert found["b"]["c"][0].flatten().tolist() == rows
        assert found["b"]["c"][1] is None
        assert found["one"] is inputs["one"]
        assert found["all"] is plain
