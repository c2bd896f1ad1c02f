"""What networks with attention layers have in common: processors and fused projections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from autopipe.attaching.network_view import answers_of, origin_of
from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.wording import listed, logger, shown

from .attention import Attention
from .attention_members import AttentionMembers, check_processor
from .attention_processors import accepted, fuse, unfuse

_log = logger(__name__)


class Attentive(nn.Module):
    """A network with attention layers.

    Processors and fused projections are settings of the network, so of every pipeline that shares
    it.
    """

    @property
    def attn_processors(self) -> dict[str, Any]:
        """The processor of each attention layer, by its path followed by `.processor`."""
        return {f"{path}.processor": layer.processor for path, layer in attention_layers(self)}

    def set_attn_processor(self, processor: Any) -> None:
        """Let processors compute the attention layers.

        A processor is called with the layer and its `hidden_states`, and by keyword with
        `encoder_hidden_states`, `attention_mask` and `temb`. It returns what the layer returns. Of
        the options in `cross_attention_kwargs` it gets those that it names.

        Args:
            processor: one for all layers, or a dict with one for each key of `attn_processors`.

        Raises:
            ArgumentError: if a dict lacks layers, or has others.
            ArgumentTypeError: if a processor can't be called.
        """
        layers = dict(attention_layers(self))
        if isinstance(processor, Mapping):
            chosen = {str(name).removesuffix(".processor"): one for name, one in processor.items()}
            _check_paths(chosen, layers)
        else:
            chosen = dict.fromkeys(layers, processor)
        for one in chosen.values():
            check_processor(one)
        for found in (layers, dict(attention_layers(origin_of(self)))):
            for path, layer in found.items():
                layer.set_processor(chosen[path])

    def set_default_attn_processor(self) -> None:
        """Let all attention layers compute by themselves again."""
        layers = attention_layers(self)
        self.set_attn_processor({path: layer.default_processor() for path, layer in layers})

    def fuse_qkv_projections(self) -> None:
        """Compute the projections of each attention layer by one product: faster on some devices.

        The product uses a copy of the weights, which doesn't follow later changes in place, such as
        those of training. Layers whose projections an add-on changes or replaces compute them one
        by one. What is saved stays the same.

        Raises:
            ArgumentError: if layers also attend by added keys and values, or have no weights here.
        """
        layers = [layer for _, layer in attention_layers(origin_of(self))]
        if not all(isinstance(layer, Attention) for layer in layers):
            raise ArgumentError(
                f"the attention layers of this {type(self).__name__} have added keys and values, "
                f"which can't be fused"
            )
        if any(one.is_meta for layer in layers for one in layer.parameters()):
            raise ArgumentError(
                f"the weights of this {type(self).__name__} are elsewhere, because its device map "
                f"or offloading places its layers; fuse projections before that"
            )
        for layer in layers:
            fuse(layer)

    def unfuse_qkv_projections(self) -> None:
        """Undo `fuse_qkv_projections`."""
        for _, layer in attention_layers(origin_of(self)):
            unfuse(layer)


def attention_layers(network: nn.Module) -> Iterator[tuple[str, AttentionMembers]]:
    """Return the path and module of each attention layer, in the order of `attn_processors`."""
    for path, module in network.named_modules():
        if isinstance(module, AttentionMembers):
            yield path, module


def attention_options(
    given: Any, network: Any, *, argument: str = "cross_attention_kwargs"
) -> dict[str, Any]:
    """Return the options that the attention of `network` takes, from `cross_attention_kwargs`.

    These are the options that a processor or an add-on's replacement of a layer names; `scale`,
    which belongs to adapters, is not among them.

    Args:
        argument: the name of the argument, for messages.

    Raises:
        ArgumentError: if nothing takes an option.
        ArgumentTypeError: if `given` is neither a mapping nor None.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(f"{argument} is a {type(given).__name__}; give a dict, or None")
    options = {name: value for name, value in given.items() if name != "scale"}
    if not options:
        return {}
    taken: dict[str, Any] = {}
    for _, layer in attention_layers(network) if isinstance(network, nn.Module) else ():
        taken.update(accepted(layer.processor, options))
        for answer in answers_of(layer):
            taken.update(accepted(answer, options, named=True))
    for name in options:
        if name not in taken:
            raise ArgumentError(
                f"{argument} has {shown(name)}, which no attention processor takes; "
                f"supported: {listed({'scale': 0, **taken})}.{nearest(name, ['scale', *taken])}"
            )
    return options


def _check_paths(chosen: Mapping[str, Any], layers: Mapping[str, Any]) -> None:
    if chosen.keys() != layers.keys():
        unknown = next(iter(chosen.keys() - layers.keys()), None)
        about = "" if unknown is None else f", and no layer {shown(unknown)}"
        raise ArgumentError(
            f"a dict of {len(chosen)} processors is given for {len(layers)} attention layers"
            f"{about}; give one for each key of attn_processors"
        )
