"""Reads the index of a checkpoint and the headers of its weights, for `resolve` and `inspect`."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..checkpoint.address import open_source
from ..checkpoint.files import STEMS, File, Weights, candidates, plan_component, variants_of
from ..checkpoint.formats.headers import Header, main_dtype, not_finite
from ..checkpoint.formats.kinds import quantization_of, quantized_by
from ..checkpoint.index import Index, open_index
from ..checkpoint.needs import Cast, Need, as_stored, cast_to, need_of
from ..checkpoint.source import FOLLOW_LINKS, HubOptions, Source
from ..errors import AutopipeError, QuantizedWeightsError, UnsupportedCheckpointError
from ..registry import Registry
from ..tasks import Task
from .command import option

CHECKPOINT_HELP = "a folder, a single file, a Hub repository, or demo:FAMILY"
REVISION_HELP = "branch, tag or commit of a repository (default: main)"

LINKS_HELP = f"follow links that lead out of a checkpoint (only your own); or set {FOLLOW_LINKS}=1"

MEMORY_DTYPES: Mapping[str, Cast] = {
    "auto": as_stored,
    "float32": cast_to("F32"),
    "bfloat16": cast_to("BF16"),
    "float16": cast_to("F16"),
}
"""The dtypes for which the memory of weights is told; `"auto"` is that of the files."""

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a pipeline: its files and its index."""

    source: Source
    index: Index

    @property
    def commit(self) -> str | None:
        """The commit of a Hub repository, also if only the cache was used."""
        folder = self.index.folder.absolute()
        in_cache = folder.parent.name == "snapshots"
        return self.source.commit or (folder.name if in_cache else None)


@dataclass(frozen=True)
class Part:
    """One component: its class, the facts from the headers of its weights, and its other files.

    `parameters` and `dtype` are None for pickled weights. `needs` says what the weights take in
    each of `MEMORY_DTYPES`; it is empty for pickled weights.
    """

    name: str
    pair: tuple[str, str] | None
    weights: Weights | None = None
    side: tuple[File, ...] = ()
    parameters: int | None = None
    dtype: str | None = None
    variants: tuple[str | None, ...] = ()
    problem: str | None = None
    needs: Mapping[str, Need] = field(default_factory=dict)


def declare_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a checkpoint."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    option(parser, "--revision NAME", REVISION_HELP)
    declare_links(parser)


def declare_links(parser: argparse.ArgumentParser) -> None:
    """Add `--follow-links`, which applies to everything that the command opens."""
    parser.add_argument("--follow-links", action=_FollowLinks, nargs=0, help=LINKS_HELP)


class _FollowLinks(argparse.Action):
    def __call__(self, *arguments: object) -> None:
        os.environ[FOLLOW_LINKS] = "1"


def open_checkpoint(
    path: str, registry: Registry, revision: str | None = None, *, local_only: bool = False
) -> Checkpoint:
    """Find the checkpoint `path` and read its index; nothing else of a repository is fetched.

    Args:
        local_only: whether only what is on this machine is used.

    Raises:
        CheckpointError: if there is no such checkpoint, or it is not one of a pipeline.
        ConfigError: if its index is malformed.
        UnsafeCheckpointError: if its index asks for something unsafe.
    """
    hub = HubOptions(revision=revision, local_files_only=local_only)
    source = open_source(path, hub, registry)
    return Checkpoint(source, open_index(source, registry))


def tasks_of(
    class_name: str, registry: Registry, conditions: Mapping[str, bool] | None = None
) -> list[Task]:
    """Return the tasks for which a checkpoint of this class can be opened with `conditions`."""

    def opens(task: Task) -> bool:
        try:
            registry.resolve(class_name, task, conditions)
        except UnsupportedCheckpointError:
            return False
        return True

    return [task for task in registry.tasks if opens(task)]


def parts(checkpoint: Checkpoint, registry: Registry, values: bool = True) -> Iterator[Part]:
    """Yield the components, sorted by name. A problem of one is recorded in its `problem`.

    Args:
        values: read local weights to find values that are not finite.
    """
    for name, pair in sorted(checkpoint.index.components.items()):
        try:
            yield _part(checkpoint, name, pair, registry, values) if pair else Part(name, None)
        except AutopipeError as error:
            yield Part(name, pair, problem=str(error))


def _part(
    checkpoint: Checkpoint, name: str, pair: tuple[str, str], registry: Registry, values: bool
) -> Part:
    source = checkpoint.source
    names = source.files(name)
    known = registry.component(*pair, registry.pipeline(checkpoint.index.class_name))
    # Only networks have a config.json; configs of other components have other names.
    has_weights = "config.json" in names or bool(candidates(names, STEMS))
    files = plan_component(source, (name,), stems=STEMS if has_weights else (), variant="auto")
    weights = files.weights
    safe = weights.files if weights and weights.format == "safetensors" else ()
    headers = {file.path: source.header(file.path) for file in safe}
    tensors = [info for header in headers.values() for info in header.tensors.values()]
    kind = main_dtype(list(headers.values()))
    config = source.json(f"{name}/config.json") if "config.json" in names else {}
    method = quantization_of(config) or quantized_by(
        info for one in headers.values() for info in one.tensors
    )
    if method:
        problem: str | None = str(QuantizedWeightsError.of(source.label((name,)), method))
    elif known is None and pair[0] != "transformers":
        problem = registry.explain_missing(pair[1])
    else:
        problem = _not_finite(source, headers) if values else None
    return Part(
        name,
        pair,
        weights=weights,
        side=files.side,
        parameters=sum(math.prod(info.shape) for info in tensors) if headers else None,
        dtype=DTYPES.get(kind or "", kind),
        variants=variants_of(names),
        problem=problem,
        needs={
            dtype: need_of(name, headers.values(), cast) for dtype, cast in MEMORY_DTYPES.items()
        }
        if headers and not method
        else {},
    )


def _not_finite(source: Source, headers: Mapping[str, Header]) -> str | None:
    """Describe NaN and infinite values in local weights; None if there are none."""
    here = [path for path in headers if path not in source.missing([path])]
    source.fetch(here)
    for path in here:
        found = not_finite(source.place(path), headers[path], source.open)
        if found:
            name, count = next(iter(found.items()))
            more = f" and more in {len(found) - 1} other tensors" if len(found) > 1 else ""
            return (
                f"{path} has {count:,} values that are NaN or infinite in {name}{more}, which make "
                f"images black. Fetch this file again, or use other weights"
            )
    return None
