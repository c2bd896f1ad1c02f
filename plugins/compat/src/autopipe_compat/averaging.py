"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown

from .deprecation import deprecate

_Self = TypeVar("_Self", bound="EMAModel")

_OLD_NAMES = {"max_value": "decay", "min_value": "min_decay", "device": "to"}
_SETTINGS: dict[str, tuple[type, ...]] = {
    "decay": (float, int),
    "min_decay": (float, int),
    "optimization_step": (int,),
    "update_after_step": (int,),
    "use_ema_warmup": (bool,),
    "inv_gamma": (float, int),
    "power": (float, int),
}


class NothingStoredError(ArgumentError, RuntimeError):
    """An average was to restore parameters that it doesn't keep."""


class EMAModel:
    """Keeps an exponential moving average of parameters: `average += (1 - d) (value - average)`.

    The decay `d` grows with the number of steps `n` after `update_after_step`: it is
    `(1 + n) / (10 + n)`, or with `use_ema_warmup` `1 - (1 + n / inv_gamma) ** -power`, within
    `min_decay` and `decay`. In the first step it is 0.

    Args:
        parameters: the parameters to average, in the order in which later calls give them.
        decay, min_decay: the limits of the decay, in [0, 1].
        update_after_step: the number of steps before averaging begins.
        foreach: update all parameters in one operation.
        model_cls, model_config: the class and the config of the network, for `save_pretrained`.
        **old: `max_value`, `min_value` and `device`, which older programs give.

    Attributes:
        shadow_params: the averages.
        cur_decay_value: the decay of the last step.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        decay: float = 0.9999,
        min_decay: float = 0.0,
        update_after_step: int = 0,
        use_ema_warmup: bool = False,
        inv_gamma: float = 1.0,
        power: float = 2 / 3,
        foreach: bool = False,
        model_cls: Any = None,
        model_config: Any = None,
        **old: Any,
    ) -> None:
        for name in old:
            if name not in _OLD_NAMES:
                raise ArgumentTypeError(f"EMAModel has no keyword {shown(name)}")
            deprecate(name, "1.0.0", f"use {_OLD_NAMES[name]}")
        if isinstance(parameters, nn.Module):
            use_ema_warmup = True
        self.shadow_params = [one.clone().detach() for one in _listed(parameters)]
        self.temp_stored_params: list[Tensor] | None = None
        self.decay = decay if old.get("max_value") is None else old["max_value"]
        self.min_decay = min_decay if old.get("min_value") is None else old["min_value"]
        self.update_after_step = update_after_step
        self.use_ema_warmup = use_ema_warmup
        self.inv_gamma = inv_gamma
        self.power = power
        self.optimization_step = 0
        self.cur_decay_value: float | None = None
        self.foreach = foreach
        self.model_cls = model_cls
        self.model_config = model_config
        if old.get("device") is not None:
            self.to(old["device"])

    @classmethod
    def from_pretrained(
        cls: type[_Self], path: str | Path, model_cls: Any, foreach: bool = False
    ) -> _Self:
        """Load an average that `save_pretrained` wrote.

        Args:
            model_cls: the class of the network.
        """
        model = model_cls.from_pretrained(path)
        settings = model_cls.load_config(path)
        made = cls(
            model.parameters(), model_cls=model_cls, model_config=model.config, foreach=foreach
        )
        made.load_state_dict({n: one for n, one in settings.items() if n in _SETTINGS})
        return made

    def save_pretrained(self, path: str | Path) -> None:
        """Write the averages as a network, whose config also has the settings.

        Raises:
            ArgumentError: if the constructor got no `model_cls` or `model_config`.
        """
        for name in ("model_cls", "model_config"):
            if getattr(self, name) is None:
                raise ArgumentError(f"save_pretrained needs {name}; give it to the constructor")
        model = self.model_cls.from_config(self.model_config)
        state = self.state_dict()
        state.pop("shadow_params")
        model.register_to_config(**state)
        self.copy_to(model.parameters())
        model.save_pretrained(path)

    def get_decay(self, optimization_step: int) -> float:
        """Return the decay in a step, counted from 1."""
        step = optimization_step - self.update_after_step - 1
        if step <= 0:
            return 0.0
        if self.use_ema_warmup:
            decay = 1 - float((1 + step / self.inv_gamma) ** -self.power)
        else:
            decay = (1 + step) / (10 + step)
        return max(min(decay, self.decay), self.min_decay)

    @torch.no_grad()
    def step(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the values of the parameters to the averages; frozen ones are copied."""
        self.optimization_step += 1
        decay = self.cur_decay_value = self.get_decay(self.optimization_step)
        pairs = list(zip(self.shadow_params, _listed(parameters)))
        trained = [pair for pair in pairs if pair[1].requires_grad]
        for average, value in (pair for pair in pairs if not pair[1].requires_grad):
            average.copy_(value)
        if self.foreach and trained:
            averages, values = map(list, zip(*trained))
            difference = torch._foreach_sub(averages, values)
            torch._foreach_sub_(averages, difference, alpha=1 - decay)
            return
        for average, value in trained:
            average.sub_((1 - decay) * (average - value))

    def copy_to(self, parameters: Iterable[nn.Parameter]) -> None:
        """Set the parameters to the averages."""
        _copy(self.shadow_params, parameters)

    def store(self, parameters: Iterable[nn.Parameter]) -> None:
        """Keep a copy of the parameters in main memory, for `restore`."""
        self.temp_stored_params = [one.detach().cpu().clone() for one in _listed(parameters)]

    def restore(self, parameters: Iterable[nn.Parameter]) -> None:
        """Set the parameters to what `store` kept, and forget that.

        Raises:
            NothingStoredError: if nothing is stored; it is a `RuntimeError`.
        """
        if self.temp_stored_params is None:
            raise NothingStoredError("there is nothing to restore; call store before copy_to")
        _copy(self.temp_stored_params, parameters)
        self.temp_stored_params = None

    def pin_memory(self) -> None:
        """Move the averages to pinned memory."""
        self.shadow_params = [one.pin_memory() for one in self.shadow_params]

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> None:
        """Move the averages, and cast those of a floating-point dtype."""
        self.shadow_params = [
            one.to(
                device=device,
                dtype=dtype if one.is_floating_point() else None,
                non_blocking=non_blocking,
            )
            for one in self.shadow_params
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the settings and the averages, which are not copied."""
        settings = {name: getattr(self, name) for name in _SETTINGS}
        return {**settings, "shadow_params": self.shadow_params}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a copy of what `state_dict` returned; what it lacks stays.

        Raises:
            ArgumentError: if a value can't be used. Nothing is changed.
        """
        state = copy.deepcopy(state_dict)
        for name, kinds in _SETTINGS.items():
            value = state.get(name, getattr(self, name))
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise ArgumentError(f"the state has {name} = {shown(value)}, which is not valid")
        if not 0.0 <= state.get("decay", self.decay) <= 1.0:
            raise ArgumentError(f"the state has decay = {state['decay']}; it must be in [0, 1]")
        averages = state.get("shadow_params")
        if averages is not None and not (
            isinstance(averages, list) and all(isinstance(one, Tensor) for one in averages)
        ):
            raise ArgumentError("the state has shadow_params that are not a list of tensors")
        for name in _SETTINGS:
            setattr(self, name, state.get(name, getattr(self, name)))
        if averages is not None:
            self.shadow_params = averages


def _listed(parameters: Any) -> list[nn.Parameter]:
    """Return the parameters, or those of a network, which older programs give."""
    if isinstance(parameters, nn.Module):
        deprecate("a network in place of its parameters", "1.0.0", "give network.parameters()")
        parameters = parameters.parameters()
    return list(parameters)


@torch.no_grad()
def _copy(values: list[Tensor], parameters: Iterable[nn.Parameter]) -> None:
    for value, parameter in zip(values, parameters):
        parameter.copy_(value)
