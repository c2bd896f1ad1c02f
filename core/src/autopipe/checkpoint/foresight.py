"""Refuses what can't be loaded before anything large is fetched, read or allocated.

Weights that are quantized are recognised by the config and by the names in the headers of files.
The memory that weights take follows from the headers, too: `Need` says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import PlacementError, QuantizedWeightsError
from ..kinds import BaseNetwork
from ..placement.devices import CPU, accelerator, whole_memory
from ..sizes import size_text
from ..wording import listed, logger
from .build import check_not_quantized
from .files import ComponentFiles
from .foreign import models
from .formats.kinds import quantized_by
from .formats.tensors import NAMES_OF_DTYPES, TORCH_DTYPES
from .load import stored_dtype
from .needs import Need, largest, largest_layer, need_of
from .options import Dtype, LoadOptions
from .plan import Part, Plan
from .source import LARGE, Source
from .weights import COMPUTE, Casting

_log = logger(__name__)

_SMALL: Mapping[str, Dtype] = {
    "auto": "auto", "bfloat16": torch.bfloat16, "float16": torch.float16,
}  # fmt: skip
"""The dtypes that an error may advise."""
_SHOWN = 3

Find = Callable[[LoadOptions], list[Need]]
"""A function that returns what the components take when they are loaded with some options."""


@dataclass(frozen=True)
class Stage:
    """One checkpoint of a plan, and the options with which it is loaded.

    Attributes:
        prefix: what comes before the names of its components; empty for the first stage.
    """

    plan: Plan
    options: LoadOptions
    prefix: str = ""

    def needs(self, options: LoadOptions) -> list[Need]:
        """Return what each network takes with the dtypes of `options`."""
        return [
            need_in(self.plan.source, part.cls, part.files, options, name, self.prefix + name)
            for name, part in self.plan.parts.items()
            if part.files.weights is not None
        ]


def foresee(plan: Plan) -> list[Stage]:
    """Fetch all files except large weights, and check that the rest can be loaded on this machine.

    Returns:
        The checkpoint and the other stage of a chain, if there is one, with their options.

    Raises:
        QuantizedWeightsError: if the weights of a network are quantized.
        PlacementError: if the weights take more memory than there is.
    """
    stages = list(_stages(plan, plan.options))

    def find(options: LoadOptions) -> list[Need]:
        others = stages[0].options is not options
        return [need for one in stages for need in one.needs(options if others else one.options)]

    optional = [name for name in plan.cls.optional_components() if name in plan.parts]
    check_memory(f"{plan.cls.__name__} of {plan.source.name}", find, stages[0].options, optional)
    return stages


def _stages(plan: Plan, options: LoadOptions, prefix: str = "") -> Iterator[Stage]:
    look_at(plan.source, plan.parts, [item.path for item in plan.items])
    if options.variant is not None and options.dtype is None:
        # One dtype for all: otherwise a component without that variant would not fit the others.
        weights = [part.files.weights for part in plan.parts.values() if part.files.weights]
        of_variant = [one for one in weights if one.variant] or weights
        options = options.with_dtype(stored_dtype(plan.source, of_variant))
    yield Stage(plan, options, prefix)
    if plan.stage is not None:
        own = plan.stage.options
        own = own.with_dtype(options.dtype if own.dtype is None else own.dtype)
        yield from _stages(plan.stage, own, f"{plan.keyword}_")


def look_at(source: Source, parts: Mapping[str, Part], paths: Iterable[str]) -> None:
    """Fetch the files at `paths`, except for large weights, and check that none are quantized.

    Raises:
        CheckpointError: if a file is absent or can't be fetched.
        DamagedFileError: if a file is incomplete.
        QuantizedWeightsError: if the weights of a network are quantized.
    """
    every = list(paths)
    networks = [part for part in parts.values() if part.files.weights is not None]
    heavy = {f.path: f.size for p in networks if p.files.weights for f in p.files.weights.files}
    absent = source.missing([path for path in every if path in heavy])
    is_much = sum(max(heavy[path], 0) for path in absent) > LARGE
    source.fetch([path for path in every if not is_much or path not in absent])
    for part in networks:
        _check_not_quantized(source, part)


def _check_not_quantized(source: Source, part: Part) -> None:
    """Raise `QuantizedWeightsError` if the config or the names of the weights say so.

    All headers are read for that, which also shows whether files are complete.
    """
    weights, cls = part.files.weights, part.cls
    file = str(cls.config_name) if issubclass(cls, BaseNetwork) else "config.json"
    config = "/".join((*part.files.folder, file))
    if any(one.path == config for one in part.files.side):
        check_not_quantized(source.json(config), source.label(part.files.folder) / file)
    if weights is None or weights.format != "safetensors":
        return
    for one in weights.files:
        if method := quantized_by(source.header(one.path).tensors):
            raise QuantizedWeightsError.of(source.place(one.path), method)


def need_in(
    source: Source,
    cls: Any,
    files: ComponentFiles,
    options: LoadOptions,
    name: str,
    shown: str = "",
) -> Need:
    """Return what a network of `cls` takes when it is loaded with `options`.

    Pickled weights count as they are: what their file has is in memory.

    Args:
        name: the name of the component, by which `options` give its dtype.
        shown: its name in the result; by default the same.
    """
    weights = files.weights
    assert weights is not None
    if weights.format != "safetensors":
        return Need(shown or name, weights.size, 0, 0)
    wanted = options.dtype_of(name)
    dtype = stored_dtype(source, [weights]) if wanted == "auto" else wanted
    ours = issubclass(cls, BaseNetwork)
    target = Casting(dtype, cls.kept_in_fp32(dtype) if ours else models.kept_in_fp32(cls, dtype))

    def cast(tensor: str, own: str) -> str:
        return NAMES_OF_DTYPES.get(target(tensor, TORCH_DTYPES[own]), own)

    headers = [source.header(file.path) for file in weights.files]
    need = need_of(shown or name, headers, cast, bool(options.disable_mmap))
    return replace(need, computes=dtype is None or dtype in COMPUTE)


def check_memory(
    owner: str, find: Find, options: LoadOptions, optional: Sequence[str] = ()
) -> None:
    """Check that weights are not certainly too large for this machine.

    Only what weights take for certain counts: neither what calls compute, nor what other programs
    take. Weights that stay in their files don't count, but a warning says if they make calls slow.

    Args:
        owner: whose weights they are, for the message.
        find: see `Find`.
        options: how they are loaded.
        optional: the components that may be left out.

    Raises:
        PlacementError: if main memory, or the device of `device_map`, is too small. The message
            says what would fit.
    """
    if not options.check_memory:
        return
    needs = find(options)
    device = options.device or CPU
    for place in dict.fromkeys((device, CPU)):
        whole = whole_memory(place)
        if whole is None or _takes(needs, place, device) <= whole:
            continue
        dtypes = sorted({str(_dtype_text(options, one.name)) for one in needs})
        most = sorted(needs, key=lambda one: -one.weights)[:_SHOWN]
        has = f"{place} has {size_text(whole)}"
        if place == CPU:
            has = f"this machine has {size_text(whole)} of main memory"
        raise PlacementError(
            f"the weights of {owner} take {size_text(_takes(needs, place, device))} in "
            f"{listed(dtypes)} ({listed(_sized(most), _SHOWN)}), but {has}. "
            f"{_advice(find, options, optional, place, device, whole)}"
        )
    main, held = whole_memory(CPU), sum(one.weights for one in needs)
    stay = device == CPU and options.memory is None and accelerator() is None
    if stay and main is not None and held > main:
        less = [f"{one.name}=None" for one in needs if one.name in optional]
        _log.warning(
            "the weights of %s take %s, more than the %s of main memory, so calls read them from "
            "the disk in every step; use a machine with more memory or an accelerator%s",
            owner,
            size_text(held),
            size_text(main),
            f", or pass {' and '.join(less)}" if less else "",
        )


def _takes(needs: Iterable[Need], place: torch.device, device: torch.device) -> int:
    """Return the bytes that loading takes in `place`, if calls are on `device`."""
    if place == device:
        return sum(one.copied if place == CPU else one.weights for one in needs)
    # Networks go to the device one by one.
    return max((one.copied for one in needs), default=0)


def _dtype_text(options: LoadOptions, name: str) -> str:
    wanted = options.dtype_of(name)
    return "the dtype of the files" if wanted == "auto" else str(wanted).removeprefix("torch.")


def _sized(needs: Iterable[Need]) -> Iterator[str]:
    for one in needs:
        yield f"{one.name} {size_text(one.weights)}" if one.name else size_text(one.weights)


def _advice(
    find: Find,
    options: LoadOptions,
    optional: Sequence[str],
    place: torch.device,
    device: torch.device,
    whole: int,
) -> str:
    """Say what would fit into the `whole` memory of `place`."""
    needs = find(options)
    now = _takes(needs, place, device)
    tried = {name: find(options.with_dtype(dtype)) for name, dtype in _SMALL.items()}
    smaller = {
        name: one
        for name, one in tried.items()
        if _takes(one, place, device) < now and all(need.computes for need in one)
    }
    found = [
        f"torch_dtype={name!r} ({_size_in(one, place, device)})"
        for name, one in smaller.items()
        if _takes(one, place, device) <= whole
    ]
    for name, left in ({} if found else {"": needs, **smaller}).items():
        dropped: list[str] = []
        for need in sorted((n for n in left if n.name in optional), key=lambda n: -n.weights):
            left = [one for one in left if one is not need]
            dropped.append(f"{need.name}=None")
            if _takes(left, place, device) <= whole:
                also = f"torch_dtype={name!r} and " if name else ""
                found.append(also + " and ".join(dropped))
                break
    top, layer = largest(needs), largest_layer(needs)
    main = whole_memory(CPU)
    if place != CPU and top and layer and (main is None or sum(n.copied for n in needs) <= main):
        if top.weights <= whole:
            found.append(f"memory='auto' in place of device_map (model offload, {top.name})")
        elif layer.layer <= whole:
            found.append("memory='auto' in place of device_map (sequential offload)")
    what = f"What fits: {'; or '.join(found)}" if found else "Use a machine with more memory"
    return f"{what}; or pass check_memory=False to try anyway"


def _size_in(needs: Sequence[Need], place: torch.device, device: torch.device) -> str:
    if place == CPU and not any(one.copied for one in needs):
        return f"{size_text(sum(one.weights for one in needs))}, which stay in their files"
    return size_text(_takes(needs, place, device))
