from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe import ZImageTransformer2DModel
from autopipe.errors import ArgumentError, ConfigError
from autopipe.placement.room import footprints_of
from autopipe_zimage.checks import longest_caption

from .conftest import TRANSFORMER, WIDTH


@pytest.mark.parametrize(
    "entry",
    [
        {"dim": 1 << 40},
        {"n_layers": 1 << 20},
        {"n_refiner_layers": -1},
        {"n_heads": 0},
        {"axes_dims": (3, 1, 4)},
        {"axes_dims": (4, 4)},
        {"axes_dims": (2, 2, 2)},
        {"axes_lens": (640, 32)},
        {"axes_lens": (640, 32, 1 << 40)},
        {"all_patch_size": ()},
        {"all_patch_size": (1 << 20,)},
        {"all_f_patch_size": (1, 1)},
        {"cap_feat_dim": "wide"},
        {"siglip_feat_dim": 8},
        {"rope_theta": 0.0},
        {"norm_eps": float("nan")},
    ],
    ids=str,
)
def test_a_config_that_makes_no_network_is_refused(entry: dict[str, Any]) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=next(iter(entry))):
        ZImageTransformer2DModel(**{**TRANSFORMER, **entry})


def test_shapes_that_do_not_fit_are_refused(networks: dict[str, Any]) -> None:
    network, time = networks["transformer"], torch.zeros(1)
    image, caption = torch.zeros(4, 1, 8, 8), torch.zeros(5, WIDTH)
    for images, captions, options, message in (
        ([image], [caption] * 2, {}, "1 images and 2 captions"),
        ([], [], {}, "0 images"),
        (None, [caption], {}, "x is None"),
        ([image], 5, {}, "cap_feats is 5"),
        (["image"], [caption], {}, "x is"),
        ([image[:3]], [caption], {}, r"\(3, 1, 8, 8\)"),
        ([image[:, 0]], [caption], {}, r"\(4, 8, 8\)"),
        ([image[..., :7]], [caption], {}, "divisible by"),
        ([image], [caption[:, :3]], {}, r"\(tokens, 12\)"),
        ([image], [caption[:0]], {}, r"\(0, 12\)"),
        ([image], [caption], {"patch_size": 4}, "patch_size and f_patch_size are 4 and 1"),
        ([torch.zeros(4, 1, 66, 8)], [caption], {}, "need 33 rows"),
        ([image], [torch.zeros(639, WIDTH)], {}, "need 642 moments"),
        ([image], [caption], {"siglip_feats": [caption]}, "siglip_feats"),
    ):
        with pytest.raises(ArgumentError, match=message):
            network(images, time, captions, **options)
    assert longest_caption(network.config) == 608
    assert len(network([image], time, [torch.zeros(608, WIDTH)]).sample) == 1


def test_memory_is_estimated_at_the_size_of_training(networks: dict[str, Any]) -> None:
    (found,) = footprints_of({"transformer": networks["transformer"]}, {})
    tokens = 64 * 64 * TRANSFORMER["dim"] * 4
    assert tokens < found.work < 100 * tokens


def test_samples_of_other_sizes_in_a_batch_change_nothing(networks: dict[str, Any]) -> None:
    network, source = networks["transformer"], torch.Generator().manual_seed(0)
    images = [torch.randn(4, 1, *size, generator=source) for size in ((8, 8), (12, 6))]
    captions = [torch.randn(n, WIDTH, generator=source) for n in (5, 40)]
    times = torch.tensor([0.2, 0.7])
    together = network(images, times, captions, return_dict=False)[0]
    for number, found in enumerate(together):
        part = slice(number, number + 1)
        alone = network(images[part], times[part], captions[part]).sample[0]
        # Products of other shapes are summed in another order.
        assert torch.allclose(found, alone, atol=1e-4, rtol=1e-4)


def test_what_others_add_to_layers_is_added(networks: dict[str, Any]) -> None:
    network, image = networks["transformer"], torch.ones(4, 1, 8, 8)
    given: Any = ([image], torch.zeros(1), [torch.ones(5, WIDTH)])
    plain = network(*given).sample[0]
    added = {1: torch.linspace(0, 1, TRANSFORMER["dim"]).expand(1, 64, -1)}
    assert not torch.allclose(network(*given, controlnet_block_samples=added).sample[0], plain)


def test_gradient_checkpointing_gives_the_same_gradients(networks: dict[str, Any]) -> None:
    network = ZImageTransformer2DModel.from_config(networks["transformer"].config)
    network.load_state_dict(networks["transformer"].state_dict())
    gradients = []
    for switch in (network.disable_gradient_checkpointing, network.enable_gradient_checkpointing):
        switch()
        network.zero_grad()
        found = network([torch.ones(4, 1, 8, 8)], torch.zeros(1), [torch.ones(5, WIDTH)]).sample
        found[0].sum().backward()
        gradients.append(network.x_pad_token.grad.clone())
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


def test_every_name_of_the_authors_means_modules_of_the_network(networks: dict[str, Any]) -> None:
    network = networks["transformer"]
    paths = {path for path, _ in network.named_modules()}
    names = network.original_names
    for name, means in names.items():
        assert {means} <= paths if isinstance(means, str) else {*means} <= paths, name
    assert names["x_embedder"] == "all_x_embedder.2-1"
    assert names["layers.1.attention.qkv"][2] == "layers.1.attention.to_v"
