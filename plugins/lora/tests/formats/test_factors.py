"""Other ways to write a change give the same change as `up @ down`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from support import lora_files as written
from torch import Tensor, nn

from autopipe_lora.formats import LoraLayer, read_lora

ALPHA = 3.0


class Network(nn.Module):
    """A module of each kind, of which some have fewer outputs than inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.tall = nn.Linear(8, 24)
        self.wide = nn.Linear(24, 8)
        self.kernel = nn.Conv2d(12, 8, 3)
        self.pointwise = nn.Conv2d(24, 8, 1)


PATHS = ("tall", "wide", "kernel", "pointwise")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def read(network: nn.Module, path: str, parts: Mapping[str, Tensor]) -> LoraLayer:
    tensors = {f"lora_unet_{path}.{role}": tensor for role, tensor in parts.items()}
    found = read_lora(tensors, {}, {"unet": network})
    assert sorted(found.report.matched) == sorted(tensors)
    return found.layers["unet"][path]


def delta(layer: LoraLayer) -> Tensor:
    return written.deltas({"unet": {"": layer}})["unet."]


@pytest.mark.parametrize("rank", [2, 5])
@pytest.mark.parametrize("path", PATHS)
def test_hadamard_products(network: Network, path: str, rank: int) -> None:
    out, *inner = shape = network.get_submodule(path).weight.shape
    columns = shape[1:].numel()
    parts = {
        name: random(*size)
        for name, size in {
            "hada_w1_a": (out, rank),
            "hada_w1_b": (rank, columns),
            "hada_w2_a": (out, rank),
            "hada_w2_b": (rank, columns),
        }.items()
    }
    expected = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    layer = read(network, path, {**parts, "alpha": torch.tensor(ALPHA)})
    torch.testing.assert_close(delta(layer), (ALPHA / rank * expected).reshape(shape))
    assert layer.rank == min(rank * rank, out if inner[1:] else min(out, columns))


def test_hadamard_products_of_decomposed_kernels(network: Network) -> None:
    rank = 3
    parts = {
        f"hada_{name}{i}{end}": random(*size)
        for i in "12"
        for name, end, size in (
            ("t", "", (rank, rank, 3, 3)),
            ("w", "_a", (rank, 8)),
            ("w", "_b", (rank, 12)),
        )
    }
    one, other = (
        torch.einsum(
            "ijkl,ip,jr->prkl",
            parts[f"hada_t{i}"],
            parts[f"hada_w{i}_a"],
            parts[f"hada_w{i}_b"],
        )
        for i in "12"
    )
    torch.testing.assert_close(delta(read(network, "kernel", parts)), one * other)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "of rank 1"])
@pytest.mark.parametrize("first", [(2, 4), (4, 2)])
@pytest.mark.parametrize("path", PATHS)
def test_kronecker_products(
    network: Network, path: str, first: tuple[int, int], whole: bool
) -> None:
    shape = network.get_submodule(path).weight.shape
    rest = (shape[0] // first[0], shape[1] // first[1], *shape[2:])
    parts = {"lokr_w1": random(*first)}
    if whole:
        parts["lokr_w2"] = second = random(*rest)
        scale = 1.0  # An alpha has no meaning then.
    else:
        parts["lokr_w2_a"] = random(rest[0], 1)
        parts["lokr_w2_b"] = random(1, torch.Size(rest[1:]).numel())
        second = (parts["lokr_w2_a"] @ parts["lokr_w2_b"]).reshape(rest)
        scale = ALPHA
    layer = read(network, path, {**parts, "alpha": torch.tensor(ALPHA)})
    wide = parts["lokr_w1"].reshape(*first, *(1 for _ in rest[2:]))
    torch.testing.assert_close(delta(layer), scale * torch.kron(wide, second))
    assert whole or layer.rank == first[1]


def test_kronecker_products_of_two_decomposed_factors(network: Network) -> None:
    parts = {
        "lokr_w1_a": random(2, 1),
        "lokr_w1_b": random(1, 4),
        "lokr_t2": random(2, 3, 3, 3),
        "lokr_w2_a": random(2, 4),
        "lokr_w2_b": random(3, 3),
    }
    core = torch.einsum(
        "ijkl,ip,jr->prkl", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"]
    )
    first = (parts["lokr_w1_a"] @ parts["lokr_w1_b"])[:, :, None, None]
    layer = read(network, "kernel", {**parts, "alpha": torch.tensor(ALPHA)})
    torch.testing.assert_close(delta(layer), ALPHA / 2 * torch.kron(first, core.contiguous()))


def test_kernels_between_two_matrices(network: Network) -> None:
    parts = {
        "lora_down.weight": random(2, 12, 1, 1),
        "lora_mid.weight": random(2, 2, 3, 3),
        "lora_up.weight": random(8, 2, 1, 1),
    }
    down, mid, up = parts.values()
    expected = torch.einsum("or,rskl,si->oikl", up[:, :, 0, 0], mid, down[:, :, 0, 0])
    layer = read(network, "kernel", {**parts, "alpha": torch.tensor(ALPHA)})
    torch.testing.assert_close(delta(layer), ALPHA / 2 * expected)


@pytest.mark.parametrize("path", PATHS)
def test_whole_differences(network: Network, path: str) -> None:
    module = network.get_submodule(path)
    change, bias = random(*module.weight.shape), random(*module.bias.shape)
    layer = read(network, path, {"diff": change, "diff_b": bias})
    torch.testing.assert_close(delta(layer), change)
    assert layer.bias is not None
    torch.testing.assert_close(layer.scale * layer.bias, bias)


def test_a_change_of_the_bias_alone(network: Network) -> None:
    layer = read(network, "kernel", {"diff_b": random(8)})
    assert not delta(layer).any()
    assert delta(layer).shape == network.kernel.weight.shape
    assert layer.bias is not None
    assert torch.equal(layer.scale * layer.bias, random(8))


def test_a_change_of_the_bias_is_not_scaled_by_alpha(network: Network) -> None:
    parts = {"lora_down.weight": random(2, 8), "lora_up.weight": random(24, 2)}
    layer = read(network, "tall", {**parts, "alpha": torch.tensor(1.0), "diff_b": random(24)})
    assert layer.bias is not None
    torch.testing.assert_close(layer.scale * layer.bias, random(24))


@pytest.mark.parametrize(
    ("path", "role", "given", "wanted"),
    [
        ("tall", "lora_magnitude_vector", (24,), (24, 1)),
        ("tall", "lora_magnitude_vector.weight", (24,), (24, 1)),
        ("kernel", "lora_magnitude_vector", (1, 8, 1, 1), (8, 1, 1, 1)),
        ("tall", "dora_scale", (24, 1), (24, 1)),
        ("kernel", "dora_scale", (8, 1, 1, 1), (8, 1, 1, 1)),
        ("kernel", "dora_scale", (1, 12, 1, 1), (1, 12, 1, 1)),
        ("wide", "dora_scale", (1, 24), (1, 24)),
    ],
)
def test_magnitudes_broadcast_against_the_weight(
    network: Network, path: str, role: str, given: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    weight = network.get_submodule(path).weight
    parts = {
        "lora_down.weight": random(2, *weight.shape[1:]),
        "lora_up.weight": random(len(weight), 2),
        role: random(*given),
    }
    magnitude = read(network, path, parts).magnitude
    assert magnitude is not None
    assert magnitude.shape == wanted
    assert torch.equal(magnitude.flatten(), random(*given).flatten())
