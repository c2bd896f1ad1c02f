"""The add-on: a LoRA that changes layers of networks while it is attached."""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.network_view import Answer
from autopipe.checkpoint.attachable import ANY, TensorFile, open_tensors
from autopipe.pipeline.values import number
from autopipe.placement.base import networks_of
from autopipe.wording import shown
from autopipe_components.adapter_scale import adapter_scale, adapters_scaled
from autopipe_components.networks.block_strengths import Blocks, blocks_of

from . import strengths
from .change import Change, Gain
from .formats import Report, metadata_of, read_lora
from .fused import is_fused

NAMES = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin", *ANY)
"""What a folder's file is called, in order of preference."""

_OF_ATTENTION = ("cross_attention_kwargs", "joint_attention_kwargs", "attention_kwargs")


class Lora(Attachment):
    """A low-rank change of layers ("LoRA", Hu et al., 2021), from a file of any common format.

    Its strength is a number, or a dict by component and block: see `strengths`. The argument
    `cross_attention_kwargs={"scale": s}` of a call multiplies it.

    Args:
        source: a file, a folder, a repository id, `"demo:NAME"`, or a state dict.
        weight_name: the name of the file in a folder or repository.
        subfolder: the folder with the file in a folder or repository.
        **hub: `revision`, `token`, `cache_dir` and other keywords of loading.

    Raises:
        CheckpointError: if there is no such file, or it is damaged.
    """

    name = "lora"
    # The innermost: it changes the weights, as training on would.
    order = -100

    def __init__(
        self,
        source: Any,
        *,
        weight_name: str | None = None,
        subfolder: str | None = None,
        **hub: Any,
    ) -> None:
        self._file: TensorFile | None = open_tensors(
            source, names=NAMES, weight_name=weight_name, subfolder=subfolder, **hub
        )
        self.origin = self._file.origin
        self.changes: Mapping[str, Mapping[str, Change]] = {}
        self._blocks: Mapping[str, Blocks] = {}
        self._scale: float | None = None
        self._gains = _Gains()

    def __repr__(self) -> str:
        return f"Lora({shown(self.origin)})"

    @property
    def report(self) -> Report:
        """What became of the keys of the file."""
        return self._report

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks that it changes."""
        return tuple(self.changes)

    def check(self, pipe: Any) -> None:
        """Read the file for the networks of `pipe`.

        Raises:
            WeightsMismatchError: if nothing in the file is for these networks, or a shape doesn't
                fit.
        """
        networks = networks_of(pipe.components)
        if self._file is None:
            return
        metadata = metadata_of(self._file)
        read = read_lora(self._file.tensors, metadata, networks, self._file.origin)
        copied = self._file.path is None
        self._report = read.report
        self.changes = {
            component: {path: Change(layer, copied=copied) for path, layer in layers.items()}
            for component, layers in read.layers.items()
        }
        self.weights = nn.Module()
        for component, changes in self.changes.items():
            for path, change in changes.items():
                for part, parameter in change.parameters().items():
                    # The name of a parameter contains no dots.
                    name = f"{component}/{path}/{part}".replace(".", "/")
                    self.weights.register_parameter(name, parameter)
        self._blocks = {name: blocks_of(one) for name, one in networks.items()}
        self._file = None

    def check_strength(self, value: Any) -> Any:
        """Return a strength whose numbers are floats.

        Raises:
            ArgumentTypeError: if it is neither a number nor a dict.
            ArgumentError: if a number is not finite, or there is no such component or block.
        """
        return strengths.checked(value, self._blocks)

    def of_call(self, run: Any) -> Lora:
        """Return the LoRA with the scale of a call."""
        made = copy.copy(self)
        made._scale = scale_of(run.call)
        return made

    def answers(self, component: str, network: nn.Module, strength: Any) -> Mapping[str, Answer]:
        """Return what runs in place of each changed layer."""
        changes = self.changes.get(component)
        if not changes or is_fused(network, self):
            return {}
        of_module = strengths.of_modules(strength, component, network)
        outside = self._scale is None
        found: dict[str, Answer] = {}
        factors: dict[float, torch.Tensor] = {}

        def answer(path: str, strength: float) -> Answer:
            change = changes[path]
            factor = strength * change.scale
            if factor not in factors:
                factors[factor] = torch.tensor(factor)
            gain = None
            if change.magnitude is not None:
                gain = self._gains.of(network.get_submodule(path), change, strength)
            return change.answer(factors[factor], gain)

        for path in changes:
            own = of_module(path) * (1 if self._scale is None else self._scale)
            if own:
                found[path] = answer(path, own)
                if outside:
                    found[path] = _scaled(found[path], functools.partial(answer, path), own)
        if outside and found and _takes_scale(network):
            found[""] = _with_scale
        return found


def _scaled(plain: Answer, answer: Callable[[float], Answer], strength: float) -> Answer:
    """Return what runs outside a call, where each run of a network may have another scale."""

    def run(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        scale = adapter_scale()
        if scale == 1:
            output: torch.Tensor = plain(module, x)
        else:
            output = answer(strength * scale)(module, x) if scale else module(x)
        return output

    return run


def _with_scale(network: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Run a network with the scale in its arguments."""
    with adapters_scaled(scale_of(kwargs)):
        return network(*args, **kwargs)


def _takes_scale(network: nn.Module) -> bool:
    parameters = inspect.signature(type(network).forward).parameters
    return any(name in parameters for name in _OF_ATTENTION)


def scale_of(call: Mapping[str, Any]) -> float:
    """Return by what a call multiplies the strengths of all LoRAs.

    Raises:
        ArgumentTypeError: if it is not a number.
    """
    scale = 1.0
    for name in _OF_ATTENTION:
        given = call.get(name)
        if isinstance(given, Mapping) and given.get("scale") is not None:
            scale *= number(f"the scale in {name}", given["scale"])
    return scale


class _Gains:
    """The last gain of each module with a magnitude, which takes a norm of all its weights."""

    def __init__(self) -> None:
        self._known = weakref.WeakKeyDictionary[nn.Module, tuple[object, Gain | None]]()

    def __reduce__(self) -> Any:
        return _Gains, ()

    def of(self, module: nn.Module, change: Change, strength: float) -> Gain | None:
        """Return the gain of `module`, as it is now."""
        tensors = (module._parameters["weight"], *change.parameters().values())
        versions = [None if t is None or t.is_inference() else t._version for t in tensors]
        key = (versions, strength)
        found = self._known.get(module)
        if found is None or found[0] != key:
            found = self._known[module] = key, change.gain(module, strength)
        return found[1]
