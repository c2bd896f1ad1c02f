"""Chooses the files of a component by their names.

Weights are one file, or shards that an index lists; they are safetensors or pickles; and they may
have a *variant*, a word in the file name such as `fp16`. Each component is decided separately. Both
naming schemes of sharded variants are read:

    diffusion_pytorch_model.fp16-00001-of-00002.safetensors   ...safetensors.index.fp16.json
    diffusion_pytorch_model-00001-of-00002.fp16.safetensors   ...safetensors.fp16.index.json
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ..errors import (
    CheckpointError,
    ConfigError,
    DamagedFileError,
    QuantizedWeightsError,
    UnsafeCheckpointError,
    VariantError,
)
from ..wording import listed, shown
from .formats.kinds import found_instead, gguf_among
from .names import plain_name
from .source import Source

Format = Literal["safetensors", "bin"]

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
"""Stems of weight files: of diffusers, of transformers, and of pickles of transformers."""

AUTO = "auto"

_PREFERRED: Mapping[str, str] = {"float16": "fp16", "bfloat16": "bf16"}
_SIDE_FILE = re.compile(
    r".+\.(json|txt|tsv|ya?ml|jinja|model(\.v\d+)?|spm|bpe|codes|vocab|tiktoken|tokenizer)"
)
"""Text and vocabulary files that tokenizers and processors read; no code and no pickles."""

_CHAT_TEMPLATES = "additional_chat_templates"
"""A subfolder of a tokenizer's folder."""

_SHARD = re.compile(r"-\d{5}-of-\d{5}\b")


@dataclass(frozen=True)
class File:
    """A file of a checkpoint: its path, with slashes, and its size in bytes (-1: unknown)."""

    path: str
    size: int


@dataclass(frozen=True)
class Weights:
    """One set of weights of a component, in one or several files."""

    variant: str | None
    format: Format
    files: tuple[File, ...]
    index: File | None = None

    @property
    def size(self) -> int:
        """The size in bytes, without files of unknown size."""
        return sum(max(file.size, 0) for file in self.files)


@dataclass(frozen=True)
class ComponentFiles:
    """The files of one component: its weights, and its config or vocabulary."""

    folder: tuple[str, ...]
    weights: Weights | None
    side: tuple[File, ...]

    @property
    def files(self) -> tuple[File, ...]:
        """All files."""
        weights = self.weights
        index = (weights.index,) if weights and weights.index else ()
        return (*self.side, *index, *(weights.files if weights else ()))


@dataclass(frozen=True)
class _Candidate:
    """A set of weights found by file names; its shards are not known yet."""

    variant: str | None
    format: Format
    name: str
    sharded: bool


def candidates(names: Iterable[str], stems: Iterable[str] = STEMS) -> list[_Candidate]:
    """Return the sets of weights among the file names of a folder, in the order of `stems`."""
    order = list(stems)
    pattern = re.compile(
        rf"(?P<stem>{'|'.join(map(re.escape, order))})(?:\.(?P<single>[^.]+))?"
        rf"\.(?P<format>safetensors|bin)"
        rf"(?P<index>(?:\.(?P<before>[^.]+))?\.index(?:\.(?P<after>[^.]+))?\.json)?"
    )
    found: list[_Candidate] = []
    # An index comes before a single file, which would be left over from an earlier save.
    for match in sorted(
        filter(None, map(pattern.fullmatch, names)),
        key=lambda m: (order.index(m["stem"]), not m["index"], m.string),
    ):
        if not (match["single"] if match["index"] else _SHARD.search(match.string)):
            variant = match["single"] or match["before"] or match["after"]
            kind = cast(Format, match["format"])
            found.append(_Candidate(variant, kind, match.string, bool(match["index"])))
    return found


def holds_network(names: Iterable[str]) -> bool:
    """Whether the file names of a folder include a config or weights of a network."""
    plain = [_SHARD.sub("", name) for name in names]
    return "config.json" in plain or bool(candidates(plain))


def variants_of(names: Iterable[str], stems: Iterable[str] = STEMS) -> tuple[str | None, ...]:
    """Return the variants of a folder's weights; None stands for weights without a variant."""
    return tuple(dict.fromkeys(candidate.variant for candidate in candidates(names, stems)))


def plan_component(
    source: Source,
    folder: tuple[str, ...],
    *,
    stems: tuple[str, ...] = STEMS,
    variant: str | None = None,
    use_safetensors: bool | None = None,
    dtype: str | None = None,
    fall_back: bool = False,
    reads: Iterable[str] = (),
) -> ComponentFiles:
    """Choose the files of the component in `folder`.

    Args:
        stems: the stems of weight files; empty for tokenizers, schedulers and the like.
        variant: a variant, None for weights without one, or `"auto"`: the variant for `dtype` (a
            name such as `"float16"`), else weights without a variant, else any.
        use_safetensors: True refuses pickled weights, False requires them, None prefers
            safetensors.
        fall_back: use weights without a variant if the variant is absent.
        reads: patterns of further files to read, such as `"*.onnx"`.

    Raises:
        CheckpointError: if there is no such folder, or no weights in it.
        QuantizedWeightsError: if the only weights in it are of llama.cpp (GGUF).
        VariantError: if there are weights, but not of this variant.
        UnsafeCheckpointError: if there are only pickled weights and `use_safetensors` is True.
    """
    listing = source.files(*folder)
    where = "/".join((source.name, *folder))
    if not listing:
        raise CheckpointError(f"the folder {where} doesn't exist or is empty; {source.hint}")
    side = _side_files(folder, listing, tuple(reads))
    if not stems:
        further = (*folder, _CHAT_TEMPLATES)
        side += _side_files(further, source.files(*further))
        return ComponentFiles(folder, None, side)
    every = candidates(listing, stems)
    if not every:
        if quantized := gguf_among(listing):
            raise QuantizedWeightsError.of(f"{where}/{quantized}", "GGUF")
        raise CheckpointError(
            f"there are no weights in {where}; looked for "
            f"{' and '.join(f'{stem}.safetensors' for stem in stems)}, and for .bin; "
            f"{found_instead(listing, where) or source.hint}"
        )
    present = list(dict.fromkeys(candidate.variant for candidate in every))
    wanted = variant
    if variant == AUTO:
        wishes = (_PREFERRED.get(dtype or ""), None, *present)
        wanted = next(wish for wish in wishes if wish in present)
    elif fall_back and variant not in present and None in present:
        wanted = None
    if wanted not in present:
        raise VariantError(
            f"{where} has no {_called(variant)}; it has "
            f"{listed(sorted(map(_called, present)))}. Pass one of those as variant, or "
            f"variant='auto'"
        )
    chosen = _by_format([c for c in every if c.variant == wanted], use_safetensors, where)
    names, index = [chosen.name], None
    if chosen.sharded:
        index = File("/".join((*folder, chosen.name)), listing[chosen.name])
        names = shard_names(source.json(index.path), str(source.root / index.path), chosen.format)
        absent = [name for name in names if name not in listing]
        if absent:
            raise DamagedFileError(
                f"{source.root / index.path} lists the shard {shown(absent[0])}, which is absent; "
                f"{source.hint}"
            )
    files = tuple(File("/".join((*folder, name)), listing[name]) for name in names)
    return ComponentFiles(folder, Weights(chosen.variant, chosen.format, files, index), side)


def _side_files(
    folder: tuple[str, ...], listing: Mapping[str, int], reads: tuple[str, ...] = ()
) -> tuple[File, ...]:
    return tuple(
        File("/".join((*folder, name)), size)
        for name, size in listing.items()
        if (_SIDE_FILE.fullmatch(name) and ".index." not in name)
        or any(fnmatch.fnmatchcase(name, one) for one in reads)
    )


def _by_format(found: list[_Candidate], use_safetensors: bool | None, where: str) -> _Candidate:
    safe = [candidate for candidate in found if candidate.format == "safetensors"]
    pickled = [candidate for candidate in found if candidate.format == "bin"]
    if use_safetensors is True and not safe:
        raise UnsafeCheckpointError(
            f"{where} has only pickled weights ({shown(pickled[0].name)}), which "
            f"use_safetensors=True refuses; convert them, or leave use_safetensors out to read "
            f"them with the restricted loader"
        )
    if use_safetensors is False and not pickled:
        raise CheckpointError(
            f"{where} has no pickled weights, which use_safetensors=False requires; leave it out "
            f"to read {safe[0].name}"
        )
    return (pickled if use_safetensors is False else safe or pickled)[0]


def shard_names(content: Mapping[str, Any], origin: str, format: Format) -> list[str]:
    """Return the shards that an index file lists, sorted.

    Args:
        content: the content of the index file.
        origin: the index file, for messages.

    Raises:
        ConfigError: if the index is malformed.
        UnsafeCheckpointError: if a shard is not a plain name, or has another format than the index.
    """
    shards: Any = content.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ConfigError(f"{origin} has no 'weight_map'; fetch it again")
    names = sorted({plain_name(shard, origin) for shard in shards.values()})
    for name in names:
        if not name.endswith(f".{format}"):
            raise UnsafeCheckpointError(
                f"{origin} lists the shard {shown(name)}, which is not a .{format} file; use this "
                f"checkpoint only if you trust it, and correct the name"
            )
    return names


def _called(variant: str | None) -> str:
    return "weights without a variant" if variant is None else f"variant {shown(variant)}"
