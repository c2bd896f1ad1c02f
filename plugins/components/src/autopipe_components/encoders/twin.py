"""Makes the object of transformers' class that shares the tensors of an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autopipe.checkpoint.build import WithoutMemory
from autopipe.checkpoint.foreign.models import build
from autopipe.errors import ArgumentError


def twin_of(encoder: Any) -> Any:
    """Return an object of the class of transformers that has the checkpoints of `encoder`.

    Its parameters are those of `encoder`.

    Raises:
        ArgumentError: if there is no such class, or tensors of `encoder` are replaced or absent.
    """
    name = type(encoder).__name__
    if encoder.twin is None:
        raise ArgumentError(
            f"transformers has no class for the checkpoints of {name}; call this method of the "
            f"encoder in it"
        )
    import transformers

    with WithoutMemory():
        made: Any = build(getattr(transformers, encoder.twin), encoder.config.to_dict(), Path(name))
    state = encoder.state_dict(keep_vars=True)
    own = dict(made.named_parameters(remove_duplicate=False))
    if own.keys() != dict(encoder.named_parameters(remove_duplicate=False)).keys() or any(
        tensor.is_meta for tensor in state.values()
    ):
        raise ArgumentError(
            f"some tensors of this {name} are replaced by adapters, or are not in memory; undo "
            f"that before you call to_transformers()"
        )
    # Otherwise torch would set the flag of the shared parameters.
    for key, parameter in own.items():
        parameter.requires_grad_(state[key].requires_grad)
    made.load_state_dict(state, assign=True)
    made.config.dtype = encoder.dtype
    return made.train(encoder.training)
