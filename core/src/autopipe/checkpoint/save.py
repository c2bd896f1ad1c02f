"""Saving models, schedulers and pipelines: what `save_pretrained` calls.

A save replaces the weights of the same name and variant that were there; other variants, and
files that are no part of a checkpoint, stay.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, UnsupportedCheckpointError, check_names
from ..kinds import BaseNetwork, BaseScheduler
from ..sizes import parse_size
from . import transformers
from .atomic import Stale, replaced_folder
from .files import candidates
from .hub.upload import HUB_KEYWORDS, upload
from .index import INDEX_NAME
from .names import is_plain
from .plan import stems_of


@dataclass(frozen=True)
class SaveOptions:
    """How to save.

    Attributes:
        safe_serialization: safetensors, or (False) pickled state dicts.
        variant: goes into the names of the weight files.
        max_shard_size: bytes, or text such as `"5GB"`; larger weights are split.
        push_to_hub: upload afterwards.
        hub: keywords of the upload.

    Raises:
        ArgumentError: the variant is no word, or the size no size.
        ArgumentTypeError: there is no such keyword.
    """

    safe_serialization: bool = True
    variant: str | None = None
    max_shard_size: int | str = "10GB"
    push_to_hub: bool = False
    hub: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.variant is not None and (not is_plain(self.variant) or "." in self.variant):
            raise ArgumentError(
                f"variant={self.variant!r} can't be part of a file name; use a word"
            )
        parse_size(self.max_shard_size)
        own = [one.name for one in fields(self) if one.name != "hub"]
        check_names(self.hub, (*own, *HUB_KEYWORDS), "save_pretrained has no keyword")


def save_model(model: Any, directory: str | Path, options: SaveOptions) -> None:
    """Write config and weights of `model`; see `ModelMixin.save_pretrained`."""
    with _saving(directory, options, lambda path: _is_replaced(path, model, options)) as folder:
        _write_model(model, folder, options)


def save_scheduler(scheduler: BaseScheduler, directory: str | Path, options: SaveOptions) -> None:
    """Write the config of `scheduler`; see `SchedulerMixin.save_pretrained`."""
    with _saving(directory, options, lambda path: False) as folder:
        scheduler.save_config(folder)


def save_pipeline(pipe: Any, directory: str | Path, options: SaveOptions) -> None:
    """Write all components of `pipe` and its index; see `DiffusionPipeline.save_pretrained`."""
    text = json.dumps(pipe.index(), indent=2) + "\n"
    components = dict(_separate(pipe.components))

    def stale(path: str) -> bool:
        name, _, rest = path.partition("/")
        component = components.get(name)
        if component is None or not rest:
            # Or a network more than a component of several has now.
            name, _, number = name.rpartition("_")
            return number.isdecimal() and hasattr(pipe.components.get(name), "part_class")
        # A tokenizer's folder is replaced whole: files of another kind of tokenizer would count.
        return not isinstance(component, nn.Module) or _is_replaced(rest, component, options)

    with _saving(directory, options, stale) as folder:
        for name, component in components.items():
            (folder / name).mkdir()
            if isinstance(component, BaseScheduler):
                component.save_config(folder / name)
            elif isinstance(component, BaseNetwork) or transformers.is_model(type(component)):
                _write_model(component, folder / name, options)
            elif hasattr(component, "save_pretrained"):
                component.save_pretrained(str(folder / name))
            else:
                raise UnsupportedCheckpointError(
                    f"a {type(component).__name__} can't be saved: it has no save_pretrained"
                )
        (folder / INDEX_NAME).write_text(text, encoding="utf-8")


@contextmanager
def _saving(directory: str | Path, options: SaveOptions, stale: Stale) -> Iterator[Path]:
    """A folder that takes the place of `directory` at the end, and is then uploaded if wanted."""
    with replaced_folder(directory, stale) as folder:
        yield folder
    if options.push_to_hub:
        upload(directory, **options.hub)


def _separate(components: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The components that have a folder each, with its name."""
    for name, component in components.items():
        if hasattr(component, "part_class"):
            for number, part in enumerate(component.parts):
                yield component.part_name(name, number), part
        elif component is not None:
            yield name, component


def _write_model(model: Any, folder: Path, options: SaveOptions) -> None:
    """Write the config, and the weights in as many files as their size makes necessary."""
    from huggingface_hub import split_torch_state_dict_into_shards

    if isinstance(model, BaseNetwork):
        model.save_config(folder)
    else:
        transformers.save_model_config(model, folder)
    safe = options.safe_serialization
    suffix = "safetensors" if safe else "bin"
    dotted = f".{options.variant}" if options.variant else ""
    stems = stems_of(type(model))
    stem = stems[0] if safe else stems[-1]
    state = _state(model)
    shards = split_torch_state_dict_into_shards(
        state,
        filename_pattern=f"{stem}{dotted}{{suffix}}.{suffix}",
        max_shard_size=parse_size(options.max_shard_size),
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


def _is_replaced(path: str, model: Any, options: SaveOptions) -> bool:
    """Whether an old file in a model's folder holds the weights that are saved anew."""
    shard = re.sub(r"-\d{5}-of-\d{5}", "", path)
    stems = stems_of(type(model))
    return any(one.variant == options.variant for one in candidates([shard], stems))
