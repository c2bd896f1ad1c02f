"""The change of one module by a LoRA: its tensors, and what computes with them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.attaching.network_view import BOUND, Answer
from autopipe.errors import ArgumentError

from .formats.layers import LoraLayer
from .offloaded import tensor_of

_CONVOLUTIONS: Mapping[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
"""By the number of axes of the weight."""


class Change:
    """The tensors of one `LoraLayer`, and what computes with them.

    It is not a module, of which a process with many LoRAs would have thousands: the tensors are
    parameters, which `Lora.weights` has as well, and which it moves and casts in place.

    `strength` is a number, with which the change of the weight is multiplied.

    Args:
        layer: the tensors.
        copied: whether to copy them.
    """

    __slots__ = ("bias", "down", "magnitude", "scale", "up")

    def __init__(self, layer: LoraLayer, *, copied: bool = False) -> None:
        def own(tensor: Tensor) -> nn.Parameter:
            tensor = tensor.detach()
            return nn.Parameter(tensor.clone() if copied else tensor, requires_grad=False)

        self.scale = layer.scale
        self.down, self.up = own(layer.down), own(layer.up)
        self.magnitude = None if layer.magnitude is None else own(layer.magnitude)
        self.bias = None if layer.bias is None else own(layer.bias)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return its tensors by name."""
        found = {"down": self.down, "up": self.up, "magnitude": self.magnitude, "bias": self.bias}
        return {name: one for name, one in found.items() if one is not None}

    def add(self, output: Tensor, module: nn.Module, x: Tensor, factor: Tensor) -> Tensor:
        """Return the output of `module` for the input `x`, with the change added.

        Args:
            output: what the module gives; its memory is used again if nothing else reads it.
            factor: a scalar tensor, so that compiled code serves all strengths.
        """
        down = _like(self.down, x)
        is_free = not (torch.is_grad_enabled() or module._forward_hooks)
        if down.ndim == 2:
            hidden = F.linear(x, down) * factor
            up = _like(self.up, hidden)
            if is_free and output.dtype is hidden.dtype and output.is_contiguous():
                # New memory for the product and the sum would take longer than computing them.
                flat = output.view(-1, output.shape[-1])
                flat.addmm_(hidden.reshape(-1, hidden.shape[-1]), up.t())
            else:
                output = output + F.linear(hidden, up)
        else:
            convolve = _CONVOLUTIONS[down.ndim]
            hidden = convolve(x, down, None, module.stride, module.padding, module.dilation)
            added = convolve(hidden * factor, _like(self.up, hidden))
            output = output.add_(added) if is_free else output + added
        return (
            output if self.bias is None else output + self._by_channel(self.bias, output) * factor
        )

    def answer(self, factor: Tensor, gain: Gain | None = None) -> Answer:
        """Return the function that runs in place of the module."""
        if gain is None:
            return lambda module, x: self.add(module(x), module, x, factor)
        if gain.of_inputs:

            def from_inputs(module: nn.Module, x: Tensor) -> Tensor:
                x = x * self._by_channel(gain.values, x)
                return self.add(module(x), module, x, factor)

            return from_inputs

        def from_outputs(module: nn.Module, x: Tensor) -> Tensor:
            output = self.add(module(x), module, x, factor)
            by = self._by_channel(gain.values, output)
            if gain.bias is None:
                return output * by
            bias = self._by_channel(gain.bias, output)
            return (output - bias) * by + bias

        return from_outputs

    def gain(self, module: nn.Module, strength: float) -> Gain | None:
        """Return by what the magnitude multiplies channels; None without a magnitude."""
        if self.magnitude is None:
            return None
        weight = tensor_of(module, "weight")
        assert weight is not None, "a module with a change has a weight"
        values = self._gain(self._added_to(weight, strength))
        return Gain(values, tensor_of(module, "bias"), self.magnitude.shape[0] == 1)

    def merged(self, module: nn.Module, strength: float) -> nn.Module:
        """Return a module of its own whose weights contain the change.

        Raises:
            ArgumentError: if the module isn't a plain one.
        """
        if module._parameters.get("weight") is None:
            raise ArgumentError(
                f"a {type(module).__name__} can't be fused, since its weight is not its own; merge "
                f"what wraps it first"
            )
        weight = tensor_of(module, "weight")
        assert weight is not None
        changed = self._added_to(weight, strength)
        if self.magnitude is not None:
            changed = changed * self._gain(changed)
        made = copy.copy(module)
        made.__dict__ = {n: v for n, v in module.__dict__.items() if n not in BOUND}
        made._parameters = dict(module._parameters)
        made.weight = nn.Parameter(changed.to(weight.dtype), weight.requires_grad)
        if self.bias is not None:
            bias, added = tensor_of(module, "bias"), self.bias.to(weight.device, torch.float32)
            added = added * (strength * self.scale) + (0 if bias is None else bias)
            made.bias = nn.Parameter(added.detach().to(weight.dtype), weight.requires_grad)
        return made

    def _by_channel(self, values: Tensor, x: Tensor) -> Tensor:
        """Return `values`, one for each channel, in a shape that broadcasts against `x`."""
        return _like(values, x).view(-1, *(1,) * (self.down.ndim - 2))

    @torch.no_grad()
    def _added_to(self, weight: Tensor, strength: float) -> Tensor:
        """Return the changed weight in float32, before the magnitude."""
        up, down = (one.to(weight.device, torch.float32) for one in (self.up, self.down))
        added = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        return torch.add(weight.float(), added, alpha=strength * self.scale)

    @torch.no_grad()
    def _gain(self, changed: Tensor) -> Tensor:
        assert self.magnitude is not None
        magnitude = self.magnitude.to(changed.device, torch.float32)
        axes = [axis for axis, length in enumerate(magnitude.shape) if length == 1]
        norm = torch.linalg.vector_norm(changed, dim=axes, keepdim=True)
        gain: Tensor = magnitude / norm
        return gain


class Gain:
    """What a magnitude multiplies: channels of the inputs or outputs of a module.

    Attributes:
        values: a factor for each channel.
        bias: the bias of the module, to which it doesn't apply.
        of_inputs: whether the channels are those of the inputs.
    """

    def __init__(self, values: Tensor, bias: Tensor | None, of_inputs: bool) -> None:
        self.values, self.of_inputs = values.flatten(), of_inputs
        self.bias = None if bias is None else bias.detach()


def _like(tensor: Tensor, x: Tensor) -> Tensor:
    """Return `tensor` with the device and dtype of `x`, which it nearly always has."""
    same = tensor.dtype is x.dtype and tensor.device == x.device
    return tensor if same else tensor.to(x)
