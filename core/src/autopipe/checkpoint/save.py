"""Saving models, schedulers and pipelines: what `save_pretrained` calls.

A save replaces the weights of the same name and variant that were there; other variants, and
files that are no part of a checkpoint, stay.
"""

from __future__ import annotations

import errno
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..attaching.wrappers import plain_state, unwrapped
from ..errors import ArgumentError, CheckpointError, UnsupportedCheckpointError, check_names
from ..kinds import BaseNetwork, BaseScheduler, is_function
from ..registry import default_registry
from ..sizes import parse_size
from ..wording import clean, listed, logger, shown
from .atomic import Stale, replaced_folder
from .build import WithoutMemory
from .files import STEMS, candidates, holds_network, variants_of
from .foreign import models
from .formats.tensors import TORCH_DTYPES
from .hub.upload import HUB_KEYWORDS, check_upload, push_folder
from .index import INDEX_NAME
from .names import is_plain
from .plan import stems_of

_log = logger(__name__)

_LONGEST_VARIANT = 160
"""Bytes, of the 255 that a file's name may have."""


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
        ArgumentError: the variant is not a word, or the size not a size.
        ArgumentTypeError: there is no such keyword.
    """

    safe_serialization: bool = True
    variant: str | None = None
    max_shard_size: int | str = "10GB"
    push_to_hub: bool = False
    hub: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A name that is read back as that of this variant, and is not too long for a file.
        if self.variant is not None and not (
            is_plain(self.variant)
            and len(self.variant.encode(errors="replace")) <= _LONGEST_VARIANT
            and clean(self.variant) == self.variant
            and variants_of([f"{STEMS[0]}.{self.variant}.safetensors"]) == (self.variant,)
        ):
            raise ArgumentError(
                f"variant={shown(self.variant)} can't be part of a file name; use a word"
            )
        parse_size(self.max_shard_size)
        own = [one.name for one in fields(self) if one.name != "hub"]
        check_names(self.hub, (*own, *HUB_KEYWORDS), "save_pretrained has no keyword")


def save_model(model: Any, directory: str | Path, options: SaveOptions) -> None:
    """Write config and weights of `model`; see `ModelMixin.save_pretrained`."""
    model = unwrapped(model)
    state = _state(model, options)
    with _saving(directory, options, lambda folder: _old_files(folder, model, options)) as folder:
        _write_model(model, state, folder, options)


def save_scheduler(scheduler: BaseScheduler, directory: str | Path, options: SaveOptions) -> None:
    """Write the config of `scheduler`; see `SchedulerMixin.save_pretrained`."""
    with _saving(directory, options, lambda folder: ()) as folder:
        scheduler.save_config(folder)


def save_pipeline(pipe: Any, directory: str | Path, options: SaveOptions) -> None:
    """Write all components of `pipe` and its index; see `DiffusionPipeline.save_pretrained`."""
    text = json.dumps(pipe.index(), indent=2) + "\n"
    components = dict(_separate(pipe.components))
    states = {n: _state(one, options) for n, one in components.items() if _is_network(one)}
    for name, component in components.items():
        if name not in states and not hasattr(component, "save_pretrained"):
            raise UnsupportedCheckpointError(
                f"the component {name!r} can't be saved: a {type(component).__name__} has no "
                f"save_pretrained"
            )
        _tell_of_subclass(name, type(component))

    def stale(folder: Path) -> Iterator[Path]:
        for name, component in components.items():
            yield from _old_files(folder / name, component, options)
        for name, component in pipe.components.items():
            # Networks more than a component of several has now.
            for number in itertools.count(len(getattr(component, "parts", ()))):
                more = hasattr(component, "part_class") and component.part_name(name, number)
                if not more or not (folder / more).is_dir():
                    break
                yield from (f for f in (folder / more).iterdir() if holds_network([f.name]))

    with _saving(directory, options, stale) as folder:
        for name, component in components.items():
            (folder / name).mkdir()
            if isinstance(component, BaseScheduler):
                component.save_config(folder / name)
            elif name in states:
                _write_model(component, states.pop(name), folder / name, options)
            else:
                component.save_pretrained(str(folder / name))
        (folder / INDEX_NAME).write_text(text, encoding="utf-8")


@contextmanager
def _saving(directory: str | Path, options: SaveOptions, stale: Stale) -> Iterator[Path]:
    """A folder whose content comes into `directory` at the end, and is then uploaded if wanted."""
    if options.push_to_hub:
        check_upload(directory, **options.hub)
    with replaced_folder(directory, stale) as folder:
        yield folder
    if options.push_to_hub:
        try:
            push_folder(directory, **options.hub)
        except CheckpointError as error:
            raise CheckpointError(f"{directory} is saved, but {error}") from error.__cause__


def _is_network(component: object) -> bool:
    return isinstance(component, BaseNetwork) or models.is_model(type(component))


def _tell_of_subclass(name: str, cls: type) -> None:
    """Warn of a class that an index can't name, so that another one will be loaded."""
    known = default_registry().named_base(cls)
    if known not in (None, cls):
        _log.warning(
            "the index names %s for %s, which is a %s: loading gives the former. A family that "
            "declares the class as a component, installed or given to autopipe.registry.register, "
            "lets it be named",
            known.__name__,
            name,
            cls.__name__,
        )


def _separate(components: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The components that have a folder each, with its name."""
    for name, component in components.items():
        component = unwrapped(component)
        if hasattr(component, "part_class"):
            for number, part in enumerate(component.parts):
                yield component.part_name(name, number), unwrapped(part)
        elif component is not None and not is_function(component):
            yield name, component


def _write_model(model: Any, state: dict[str, Tensor], folder: Path, options: SaveOptions) -> None:
    """Write the config, and the weights in as many files as their size makes necessary."""
    from huggingface_hub import split_torch_state_dict_into_shards

    if isinstance(model, BaseNetwork):
        model.save_config(folder)
    else:
        models.save_model_config(model, folder)
    safe = options.safe_serialization
    suffix = "safetensors" if safe else "bin"
    dotted = f".{options.variant}" if options.variant else ""
    stems = stems_of(type(model))
    stem = stems[0] if safe else stems[-1]
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


def _state(model: nn.Module, options: SaveOptions) -> dict[str, Tensor]:
    """The tensors to write, no two of which share memory, under all names that a load needs.

    Raises:
        ArgumentError: a load could not give them back.
    """
    state = plain_state(model)
    dtypes = TORCH_DTYPES.values() if options.safe_serialization else None
    if bad := [name for name, tensor in state.items() if not _is_plain(tensor, dtypes)]:
        raise ArgumentError(
            f"{type(model).__name__} can't be saved while {listed(bad, 5)} are not plain tensors "
            f"with all their values; undo what offloads, quantizes or packs them first. What is "
            f"sharded over processes is gathered by all of them with get_model_state_dict of "
            f"torch.distributed.checkpoint.state_dict and full_state_dict=True: load that into a "
            f"network of its own, and save that one"
        )
    owners = _owners(model)
    there = {owners.get(name) for name in state}
    if lacking := [name for name in dict.fromkeys(owners.values()) if name not in there]:
        raise ArgumentError(
            f"{type(model).__name__} can't be saved, since it lacks {listed(lacking, 5)}, without "
            f"which it can't be loaded. What is computed from other parameters (by weight or "
            f"spectral norm, or pruning) is made one again by remove_parametrizations of "
            f"torch.nn.utils.parametrize, or remove of torch.nn.utils.prune; do that first"
        )
    by_tensor: dict[int, str] = {}
    first = {name: by_tensor.setdefault(id(tensor), name) for name, tensor in state.items()}
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        owner = owners.get(name, name)
        if owner in kept:
            if first[name] != first[owner] and not torch.equal(tensor, state[owner]):
                raise ArgumentError(
                    f"{type(model).__name__} can't be saved: {owner} and {name} are one tensor "
                    f"wherever it is loaded, and differ here; give them the same values"
                )
            continue
        place = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.detach().clone() if place in seen else tensor.detach()
        seen.add(place)
    return kept


def _is_plain(tensor: object, dtypes: Collection[torch.dtype] | None) -> bool:
    """Whether a file can hold `tensor`; one of safetensors those of `dtypes`."""
    return (
        isinstance(tensor, Tensor)
        and type(tensor.detach()) is Tensor
        and tensor.layout is torch.strided
        and not (tensor.is_meta or tensor.is_quantized or hasattr(tensor, "_fsdp_flattened"))
        and (dtypes is None or tensor.dtype in dtypes)
    )


def _owners(model: Any) -> dict[str, str]:
    """By name of a tensor: the first name that the class gives to the same one whenever it is made.

    A load needs each of these first names, under one of its names; and all that are shared in this
    one object alone.
    """
    cls, origin = type(model), Path(type(model).__name__)
    try:
        with WithoutMemory():
            if isinstance(model, BaseNetwork):
                fresh: nn.Module = cls.from_config(model.config)
            else:
                fresh = models.build(cls, model.config.to_dict(), origin)
    except Exception:
        # The config doesn't say how the network was made, so nothing is known.
        return {}
    owners: dict[int, str] = {}
    state = fresh.state_dict(keep_vars=True)
    return {name: owners.setdefault(id(tensor), name) for name, tensor in state.items()}


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


def _old_files(folder: Path, component: Any, options: SaveOptions) -> Iterator[Path]:
    """The files of a component's folder that would count if they stayed beside the new ones."""
    if not folder.is_dir() or isinstance(component, BaseScheduler):
        return
    stems = stems_of(type(component))
    for file in folder.iterdir():
        if not stems:
            # Of another kind of tokenizer, perhaps.
            is_old = file.name in models.PROCESSOR_FILES
        else:
            whole = re.sub(r"-\d{5}-of-\d{5}", "", file.name)
            is_old = any(one.variant == options.variant for one in candidates([whole], stems))
        if is_old:
            yield file
