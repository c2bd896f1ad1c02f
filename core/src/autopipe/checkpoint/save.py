"""Saves networks, schedulers and pipelines for `save_pretrained`.

A save replaces the old weights of the same variant. Other variants, and files that don't belong to
a checkpoint, stay.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from ..attaching.wrappers import unwrapped
from ..errors import ArgumentError, CheckpointError, UnsupportedCheckpointError, check_names
from ..kinds import BaseNetwork, BaseScheduler, is_function, part_names
from ..registry import default_registry
from ..sizes import parse_size
from ..wording import clean, logger, shown
from .atomic import replaced_folder
from .exchange import Stale
from .files import STEMS, candidates, holds_network, variants_of
from .foreign import models
from .hub.upload import HUB_KEYWORDS, check_upload, push_folder
from .index import INDEX_NAME
from .names import is_plain
from .plan import stems_of
from .state import state_of, write_tensors

_log = logger(__name__)

_LONGEST_VARIANT = 160
"""The longest variant in bytes; a file name may have 255."""


@dataclass(frozen=True)
class SaveOptions:
    """The options of saving.

    Attributes:
        safe_serialization: if True write safetensors, else pickled state dicts.
        variant: part of the names of the weight files.
        max_shard_size: bytes, or text such as `"5GB"`; larger weights are split into shards.
        push_to_hub: upload afterwards.
        hub: keywords of the upload.

    Raises:
        ArgumentError: if the variant is not valid in a file name, or the size is not valid.
        ArgumentTypeError: if a keyword of the upload is unknown.
    """

    safe_serialization: bool = True
    variant: str | None = None
    max_shard_size: int | str = "10GB"
    push_to_hub: bool = False
    hub: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The file name must be valid, and be read back as that of this variant.
        if self.variant is not None and not (
            is_plain(self.variant)
            and len(self.variant.encode(errors="replace")) <= _LONGEST_VARIANT
            and clean(self.variant) == self.variant
            and variants_of([f"{STEMS[0]}.{self.variant}.safetensors"]) == (self.variant,)
        ):
            raise ArgumentError(
                f"variant={shown(self.variant)} can't be part of a file name; use a word such as "
                f"'fp16'"
            )
        parse_size(self.max_shard_size)
        own = [one.name for one in fields(self) if one.name != "hub"]
        check_names(self.hub, (*own, *HUB_KEYWORDS), "save_pretrained has no keyword")


def save_model(model: Any, directory: str | Path, options: SaveOptions) -> None:
    """Write config and weights of `model`; see `ModelMixin.save_pretrained`."""
    model = unwrapped(model)
    state = state_of(model, safe=options.safe_serialization)
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
    safe = options.safe_serialization
    states = {n: state_of(one, safe=safe) for n, one in components.items() if _is_network(one)}
    for name, component in components.items():
        if name not in states and not hasattr(component, "save_pretrained"):
            raise UnsupportedCheckpointError(
                f"the component {name!r} can't be saved: {type(component).__name__} has no "
                f"save_pretrained"
            )
        _warn_of_subclass(name, type(component))

    def stale(folder: Path) -> Iterator[Path]:
        for name, component in components.items():
            yield from _old_files(folder / name, component, options)
        for name, component in pipe.components.items():
            # Networks that a component of several no longer has.
            if not hasattr(component, "part_class"):
                continue
            for number in itertools.count(len(component.parts)):
                names = part_names(component, name, number)
                more = [one for one in names if (folder / one).is_dir()]
                if not more:
                    break
                for one in more:
                    yield from (f for f in (folder / one).iterdir() if holds_network([f.name]))

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
    """Yield a folder whose content is moved into `directory` and, if requested, uploaded."""
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


def _warn_of_subclass(name: str, cls: type) -> None:
    """Warn if the index can't name `cls`, so that loading gives a base class."""
    known = default_registry().named_base(cls)
    if known not in (None, cls):
        _log.warning(
            "the index names the base class %s for %s, which is a %s, so loading gives the base "
            "class. To have the subclass named, declare it as a component of a family, installed "
            "or passed to autopipe.registry.register",
            known.__name__,
            name,
            cls.__name__,
        )


def _separate(components: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the components that have their own folder, with its name."""
    for name, component in components.items():
        component = unwrapped(component)
        if hasattr(component, "part_class"):
            for number, part in enumerate(component.parts):
                yield component.part_name(name, number), unwrapped(part)
        elif component is not None and not is_function(component):
            yield name, component


def _write_model(model: Any, state: dict[str, Tensor], folder: Path, options: SaveOptions) -> None:
    """Write the config and the weights, in shards if necessary."""
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
        write_tensors({tensor: state[tensor] for tensor in tensors}, folder / name, safe)
    if shards.is_sharded:
        total = sum(tensor.nbytes for tensor in state.values())
        places = dict(sorted(shards.tensor_to_filename.items()))
        content = {"metadata": {"total_size": total}, "weight_map": places}
        index = folder / f"{stem}.{suffix}.index{dotted}.json"
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _old_files(folder: Path, component: Any, options: SaveOptions) -> Iterator[Path]:
    """Yield the old files in a component's folder that the new ones replace."""
    if not folder.is_dir() or isinstance(component, BaseScheduler):
        return
    stems = stems_of(type(component))
    for file in folder.iterdir():
        if not stems:
            # They may belong to another kind of tokenizer.
            is_old = file.name in models.PROCESSOR_FILES
        else:
            whole = re.sub(r"-\d{5}-of-\d{5}", "", file.name)
            is_old = any(one.variant == options.variant for one in candidates([whole], stems))
        if is_old:
            yield file
