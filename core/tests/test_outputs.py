"""Outputs are read by attribute, by name and by position, empty fields left out."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from accelerate.utils import convert_outputs_to_fp32, send_to_device
from torch.utils import _pytree as pytree

from autopipe.errors import ArgumentTypeError
from autopipe.outputs import BaseOutput, ImagePipelineOutput


@dataclass
class Pair(BaseOutput):
    first: int
    second: int | None = None


def test_fields_by_attribute_name_and_position() -> None:
    pair = Pair(1, 2)
    assert (pair.first, pair["second"], pair[1], pair[:]) == (1, 2, 2, (1, 2))
    assert pair.to_tuple() == (1, 2)


def test_empty_fields_are_left_out() -> None:
    pair = Pair(1)
    assert list(pair.keys()) == ["first"]
    assert (len(pair), "second" in pair, list(pair)) == (1, False, ["first"])
    with pytest.raises(KeyError):
        pair["second"]
    with pytest.raises(IndexError):
        pair[1]


@dataclass
class Several(BaseOutput):
    """Fields without defaults, as those of diffusers."""

    images: Any
    flags: Any
    masks: Any


@dataclass
class More(Several):
    extra: Any
    unit: ClassVar[str] = "pixel"


@dataclass(frozen=True)
class Frozen(BaseOutput):
    a: Any
    b: Any


def test_an_output_is_an_ordered_dict() -> None:
    out = Several(1, None, 3)
    assert isinstance(out, dict)
    assert isinstance(out, Mapping)
    assert list(out.items()) == [("images", 1), ("masks", 3)]
    assert list(out.values()) == [1, 3]
    assert (out.get("flags"), out.get("flags", 7), out.get("images")) == (None, 7, 1)
    assert dict(out) == {**out} == {"images": 1, "masks": 3}
    assert list(reversed(out)) == ["masks", "images"]
    a, b = out.to_tuple()
    assert (a, b) == (1, 3)
    assert out[:1] == (1,)
    assert bool(out)
    assert not Several(None)
    assert dataclasses.asdict(out) == {"images": 1, "flags": None, "masks": 3}
    assert dataclasses.replace(out, flags=2).to_tuple() == (1, 2, 3)


def test_fields_after_the_first_may_be_left_out() -> None:
    assert Several(1) == Several(1, None, None)
    assert More(1, extra=2).to_tuple() == (1, 2)
    assert More.unit == "pixel"
    assert "unit" not in More(1)
    with pytest.raises(TypeError):
        Several()  # type: ignore[call-arg]


def test_attributes_and_items_are_set_together_and_stay_in_order() -> None:
    out = Several(None, None, 3)
    out.flags = 2
    assert list(out.items()) == [("flags", 2), ("masks", 3)]
    out["images"] = 1
    assert (out.images, out.to_tuple()) == (1, (1, 2, 3))
    out.update(flags=None, images=5)
    assert (out.flags, list(out.items())) == (None, [("images", 5), ("masks", 3)])
    out.masks = None
    assert list(out) == ["images"]
    assert out.setdefault("flags", 4) == 4
    assert out.flags == 4
    out["own"] = 9
    assert (out.own, out.to_tuple()) == (9, (5, 4, 9))  # type: ignore[attr-defined]
    out.own = 10  # type: ignore[attr-defined]
    assert out["own"] == 10
    assert (out | {"masks": 1}).masks == 1


def test_fields_can_not_be_taken_away() -> None:
    out = Several(1)
    for take in (
        lambda: out.pop("images"),
        lambda: out.popitem(),
        lambda: out.clear(),
        lambda: out.__delitem__("images"),
    ):
        with pytest.raises(ArgumentTypeError, match="set them to None"):
            take()
    with pytest.raises(ArgumentTypeError, match="by name"):
        out[0] = 1  # type: ignore[index]
    assert out.images == 1


COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda out: out.copy(),
    *(lambda out, p=p: pickle.loads(pickle.dumps(out, p)) for p in range(6)),
    lambda out: pytree.tree_map(lambda leaf: leaf, out),
    lambda out: type(out)(dict(out)),
    lambda out: type(out)((name, out[name]) for name in out),
    lambda out: send_to_device(out, "cpu"),
]


@pytest.mark.parametrize("make", COPIES)
@pytest.mark.parametrize(
    "out",
    [
        Pair(1),
        Pair(1, 2),
        Several("a", None, [3]),
        Several(None, None, 3),
        Several(None),
        More(1, 2, 3, 4),
        Frozen(1, None),
        ImagePipelineOutput(images=[]),
    ],
    ids=str,
)
def test_copies_are_the_same(make: Callable[[Any], Any], out: Any) -> None:
    made = make(out)
    assert type(made) is type(out)
    assert made == out
    assert list(made.items()) == list(out.items())
    assert dataclasses.asdict(made) == dataclasses.asdict(out)


def test_a_field_may_hold_a_mapping_or_a_generator() -> None:
    assert ImagePipelineOutput({"x": 1}).images == {"x": 1}  # type: ignore[arg-type]
    assert list(Several(i for i in range(3)).images) == [0, 1, 2]
    assert Several({"images": 1}, 2).images == {"images": 1}


def test_libraries_find_the_tensors_inside() -> None:
    half = Several(torch.ones(1, dtype=torch.float16), None, [torch.zeros(2, dtype=torch.float16)])
    found, _ = pytree.tree_flatten(half)
    assert [one.shape for one in found] == [(1,), (2,)]
    single = convert_outputs_to_fp32(lambda: half)()
    assert (single.images.dtype, single.masks[0].dtype) == (torch.float32, torch.float32)
    assert send_to_device(half, "meta").images.is_meta
    double = pytree.tree_map(lambda tensor: tensor.double(), half)
    assert (type(double), double["images"].dtype, double.flags) == (Several, torch.float64, None)
    joined = type(half)((name, [out[name] for out in (half, half)]) for name in half)
    assert joined.images == [half.images, half.images]


class Net(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Several:
        return Several(x * 2, None, x + 1)


def test_networks_that_return_one_are_compiled_and_exported() -> None:
    x = torch.ones(2)
    compiled = torch.compile(Net(), backend="eager", fullgraph=True)(x)
    assert (type(compiled), list(compiled)) == (Several, ["images", "masks"])
    assert torch.equal(compiled.images, x * 2)
    exported = torch.export.export(Net(), (x,)).module()(x)
    assert (type(exported), exported.flags) == (Several, None)


def test_outputs_made_before_torch_was_imported_are_known_to_it_afterwards() -> None:
    script = (
        "import sys; from autopipe.outputs import ImagePipelineOutput as O; first = O([1])\n"
        "assert 'torch' not in sys.modules\n"
        "from torch.utils import _pytree as p; O([2])\n"
        "assert p.tree_map(lambda x: x + 1, first).images == [2]\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=300)
    assert ended.returncode == 0


def test_images() -> None:
    assert ImagePipelineOutput(images=[])[0] == []
