"""Saving models, schedulers and pipelines: what `save_pretrained` calls.

A save replaces the weights of the same name and variant that were there; other variants, and
files that are no part of a checkpoint, stay.
"""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedCheckpointError
from ..kinds import BaseNetwork, BaseScheduler
from ..sizes import parse_size
from . import transformers
from .atomic import replaced_folder
from .files import candidates
from .hub.upload import HUB_KEYWORDS, upload
from .index import INDEX_NAME
from .names import is_plain
from .plan import stems_of

_log = logging.getLogger(__name__)

_DEFAULT_SHARD = "10GB"


def save_model(
    model: Any,
    directory: str | Path,
    *,
    is_main_process: bool = True,
    save_function: object = None,
    safe_serialization: bool = True,
    variant: str | None = None,
    max_shard_size: int | str = _DEFAULT_SHARD,
    push_to_hub: bool = False,
    **hub: Any,
) -> None:
    """Write config and weights of `model`; see `ModelMixin.save_pretrained`."""
    _check(model, variant, hub)
    if save_function is not None:
        _log.warning("ignored, since it means nothing here: save_function= (never called)")
    limit = parse_size(max_shard_size)
    if not is_main_process:
        return
    with replaced_folder(directory, lambda path: _is_replaced(path, model, variant)) as folder:
        _write_model(model, folder, safe_serialization, variant, limit)
    if push_to_hub:
        upload(directory, **hub)


def save_scheduler(
    scheduler: Any, directory: str | Path, *, push_to_hub: bool = False, **hub: Any
) -> None:
    """Write the config of `scheduler`; see `SchedulerMixin.save_pretrained`."""
    _check(scheduler, None, hub)
    with replaced_folder(directory, lambda path: False) as folder:
        scheduler.save_config(folder)
    if push_to_hub:
        upload(directory, **hub)


def save_pipeline(
    pipe: Any,
    directory: str | Path,
    *,
    safe_serialization: bool = True,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
    push_to_hub: bool = False,
    **hub: Any,
) -> None:
    """Write all components of `pipe` and its index; see `DiffusionPipeline.save_pretrained`."""
    _check(pipe, variant, hub)
    limit = parse_size(_DEFAULT_SHARD if max_shard_size is None else max_shard_size)
    index = _index(pipe)
    components = dict(_separate(pipe.components))

    def stale(path: str) -> bool:
        name, _, rest = path.partition("/")
        component = components.get(name)
        if component is None or not rest:
            return _is_left_over(name, pipe.components)
        # A tokenizer's folder is replaced whole: files of another kind of tokenizer would count.
        return not isinstance(component, nn.Module) or _is_replaced(rest, component, variant)

    with replaced_folder(directory, stale) as folder:
        for name, component in components.items():
            _write_component(component, folder / name, safe_serialization, variant, limit)
        text = json.dumps(index, indent=2) + "\n"
        (folder / INDEX_NAME).write_text(text, encoding="utf-8")
    if push_to_hub:
        upload(directory, **hub)


def _separate(components: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The components that have a folder each, with its name."""
    for name, component in components.items():
        if hasattr(component, "part_class"):
            for number, part in enumerate(component.parts):
                yield component.part_name(name, number), part
        elif component is not None:
            yield name, component


def _is_left_over(folder: str, components: Mapping[str, Any]) -> bool:
    """Whether an old folder holds a network more than a component of several has now."""
    name, _, number = folder.rpartition("_")
    return number.isdecimal() and hasattr(components.get(name), "part_class")


def _index(pipe: Any) -> dict[str, Any]:
    """The index, with class names that every release of transformers knows."""
    return {
        name: [entry[0], transformers.saved_name(entry[1])]
        if isinstance(entry, (list, tuple)) and entry and entry[0] == transformers.LIBRARY
        else entry
        for name, entry in pipe.index().items()
    }


def _write_component(
    component: Any, folder: Path, safe: bool, variant: str | None, limit: int
) -> None:
    folder.mkdir()
    if isinstance(component, BaseScheduler):
        component.save_config(folder)
    elif isinstance(component, BaseNetwork) or transformers.is_model(type(component)):
        _write_model(component, folder, safe, variant, limit)
    elif hasattr(component, "save_pretrained"):
        component.save_pretrained(str(folder))
    else:
        raise UnsupportedCheckpointError(
            f"a {type(component).__name__} can't be saved: it has no save_pretrained"
        )


def _write_model(model: Any, folder: Path, safe: bool, variant: str | None, limit: int) -> None:
    """Write the config, and the weights in as many files as `limit` bytes each make necessary."""
    from huggingface_hub import split_torch_state_dict_into_shards

    if isinstance(model, BaseNetwork):
        model.save_config(folder)
    else:
        transformers.save_model_config(model, folder)
    suffix = "safetensors" if safe else "bin"
    dotted = f".{variant}" if variant else ""
    stems = stems_of(type(model))
    stem = stems[0] if safe else stems[-1]
    state = _state(model)
    shards = split_torch_state_dict_into_shards(
        state, filename_pattern=f"{stem}{dotted}{{suffix}}.{suffix}", max_shard_size=limit
    )
    for name, tensors in shards.filename_to_tensors.items():
        _write_tensors({tensor: state[tensor] for tensor in tensors}, folder / name, safe)
    if shards.is_sharded:
        total = sum(tensor.nbytes for tensor in state.values())
        places = dict(sorted(shards.tensor_to_filename.items()))
        content = {"metadata": {"total_size": total}, "weight_map": places}
        index = folder / f"{stem}.{suffix}.index{dotted}.json"
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict, tied weights once: safetensors holds no tensor under two names."""
    seen: set[int] = set()
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_meta:
            raise ArgumentError(
                f"{type(model).__name__} can't be saved while its weights are offloaded: {name} "
                f"has no values; undo the offloading first"
            )
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach()
    return state


def _write_tensors(state: dict[str, Tensor], file: Path, safe: bool) -> None:
    """Write one file.

    Raises:
        OSError: it can't be written; both writers say so in ways of their own.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        if safe:
            save_file(
                {n: t.contiguous() for n, t in state.items()}, file, metadata={"format": "pt"}
            )
        else:
            with file.open("wb") as stream:
                torch.save({name: tensor.clone() for name, tensor in state.items()}, stream)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise OSError(errno.EIO, str(error).partition("\n")[0]) from error
    # safetensors makes files that only their owner may read; others of the team load them too.
    file.chmod(file.parent.stat().st_mode & 0o666)


def _is_replaced(path: str, model: Any, variant: str | None) -> bool:
    """Whether an old file in a model's folder holds the weights that are saved anew."""
    shard = re.sub(r"-\d{5}-of-\d{5}", "", path)
    stems = stems_of(type(model))
    return any(candidate.variant == variant for candidate in candidates([shard], stems))


def _check(saved: Any, variant: str | None, hub: Mapping[str, Any]) -> None:
    if variant is not None and (not is_plain(variant) or not variant or "." in variant):
        raise ArgumentError(f"variant={variant!r} can't be part of a file name; use a word")
    for name in hub:
        if name not in HUB_KEYWORDS:
            raise ArgumentTypeError(
                f"{type(saved).__name__}.save_pretrained has no keyword {name!r}"
                f"; of the Hub it takes {', '.join(HUB_KEYWORDS)}"
            )
