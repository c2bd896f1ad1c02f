"""Finds the modules of networks by the names that LoRA files have for them.

A network class may bring names of its own in an attribute `original_names`: a mapping from a name
to the path of a module, below which names are equal, or to a tuple of paths of modules whose
outputs, one after the other, the named module computes. Several names may mean one module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from autopipe.errors import WeightsMismatchError
from autopipe.wording import listed, shown

_FLAT = re.compile(r"(?:lora|lycoris)_")

_TAGS: Mapping[str, tuple[str, ...]] = {
    "unet": ("unet", "transformer"),
    "te": ("text_encoder",),
    "te1": ("text_encoder",),
    "te2": ("text_encoder_2",),
    "te3": ("text_encoder_3",),
}
"""The components that sd-scripts means, of which a pipeline has one."""

_WRAPPERS = ("base_model.model.", "model.diffusion_model.", "diffusion_model.")
"""What stands before the path of a module in files of peft alone, and of other programs."""

_CLIP = "text_model."
_CLIP_PARTS = ("encoder.layers.", "embeddings.", "final_layer_norm")
"""What lies below `text_model` in a text encoder of CLIP."""

_EARLY = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
"""The names of early 2023 for the projections of text encoders."""


class Found(NamedTuple):
    """Modules that a name means: one, or several that share the rows of the change."""

    component: str
    paths: tuple[str, ...]


def weight_shape(module: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of the weight of a linear module or a convolution, else None."""
    if isinstance(module, nn.Linear):
        return (module.out_features, module.in_features)
    weight = None if isinstance(module, nn.Embedding) else getattr(module, "weight", None)
    return tuple(weight.shape) if isinstance(weight, Tensor) and weight.ndim >= 2 else None


def component_of(stem: str) -> str | None:
    """Return the component that the stem of a key names; None if it names none."""
    if match := _FLAT.match(stem):
        return _TAGS.get(stem[match.end() :].partition("_")[0], (None,))[0]
    first = stem.partition(".")[0]
    return first if any(first in components for components in _TAGS.values()) else None


def published(path: str) -> str:
    """Return the path of a module as files have it: with `text_model` in a text encoder."""
    return _CLIP + path if path.startswith(_CLIP_PARTS) else path


class ModuleNames:
    """The linear modules and convolutions of networks, by all names in use.

    Attributes:
        shapes: the shapes of their weights, by component and path.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.shapes = {
            component: {
                path: shape
                for path, module in network.named_modules()
                if (shape := weight_shape(module)) is not None
            }
            for component, network in networks.items()
        }
        self._dotted = {
            component: _names(shapes, getattr(networks[component], "original_names", {}))
            for component, shapes in self.shapes.items()
        }
        self._flat = {
            component: {name.replace(".", "_"): paths for name, paths in reversed(names.items())}
            for component, names in self._dotted.items()
        }

    def find(self, stem: str) -> Found | None:
        """Return the modules that the stem of a key names; None if there are none.

        Raises:
            WeightsMismatchError: if several networks have a module of that name.
        """
        if match := _FLAT.match(stem):
            rest = stem[match.end() :]
            for tag, components in (*_TAGS.items(), *((name, (name,)) for name in self._flat)):
                if rest.startswith(f"{tag}_"):
                    name = rest[len(tag) + 1 :]
                    for component in components:
                        if paths := self._flat.get(component, {}).get(name):
                            return Found(component, paths)
            return _only(self._flat, rest)
        stem = stem.replace(".processor.", ".")
        for component, names in self._dotted.items():
            if stem.startswith(f"{component}."):
                paths = names.get(stem[len(component) + 1 :])
                return None if paths is None else Found(component, paths)
        for wrapper in _WRAPPERS:
            stem = stem.removeprefix(wrapper)
        return _only(self._dotted, stem)


def _only(by_component: Mapping[str, Mapping[str, tuple[str, ...]]], name: str) -> Found | None:
    """Return the modules called `name` in the one network that has them.

    Of several networks it is the one that predicts: a ControlNet has modules of the same names.
    """
    found = [
        Found(component, names[name]) for component, names in by_component.items() if name in names
    ]
    if predicting := [one for one in found if one.component in _TAGS["unet"]]:
        return predicting[0]
    if len(found) > 1:
        raise WeightsMismatchError(
            f"the file has a layer {shown(name)} and doesn't say of which network, and "
            f"{listed(one.component for one in found)} have such a layer; put the name of the "
            f"network before the names, such as {found[0].component}.{shown(name)[1:-1]}"
        )
    return found[0] if found else None


def _names(
    paths: Iterable[str], original: Mapping[str, str | tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Return the paths of modules by all names; where names clash, a module's own one wins."""
    paths = tuple(paths)
    found: dict[str, tuple[str, ...]] = {path: (path,) for path in paths}
    for path in paths:
        early = _early(path)
        for name in (_other_nesting(path), early, _other_nesting(early)):
            found.setdefault(name, (path,))
    authors: dict[str, list[str]] = {}
    for name, meant in original.items():
        if isinstance(meant, str):
            authors.setdefault(meant, []).append(name)
    every = {path: list(_authors_names(path, authors)) for path in paths}
    # The names of modules themselves come before those that modules above them give them.
    for place in range(max(map(len, every.values()), default=0)):
        for path, names in every.items():
            for name in names[place : place + 1]:
                found.setdefault(name, (path,))
    for name, fused in original.items():
        if isinstance(fused, tuple) and all(path in found for path in fused):
            found.setdefault(name, fused)
    return found


def _early(path: str) -> str:
    """Return the name of early 2023 for the module at `path`."""
    parent, _, last = path.rpartition(".")
    if path.endswith(".to_out.0"):
        return parent
    return f"{parent}.{_EARLY[last]}" if last in _EARLY else path


def _other_nesting(path: str) -> str:
    """Return `path` without `text_model`, or with it, where a text encoder may have it."""
    return path.removeprefix(_CLIP) if path.startswith(_CLIP) else published(path)


def _authors_names(path: str, authors: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the names of the module at `path`, given those of modules at or above it."""
    above = path
    while above:
        for name in authors.get(above, ()):
            yield name + path[len(above) :]
        above = above.rpartition(".")[0]
