"""Tells what is in a LoRA file without the networks that it is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from autopipe.json_files import parse_json

from .grouping import group
from .module_names import component_of

BASE_MODEL = ("ss_base_model_version", "modelspec.architecture", "ss_sd_model_name")
"""Entries of the metadata that name the model that a file was trained with."""

_TITLE = ("modelspec.title", "ss_output_name")
_TRIGGER = ("modelspec.trigger_phrase",)
_TAGS = "ss_tag_frequency"
_MOST_TAGS = 10


@dataclass(frozen=True)
class Summary:
    """What is in a file.

    Attributes:
        format: the format, as in a `Report`.
        layers: the number of layers by component; "" counts those that name none.
        ranks: the number of layers by rank; None counts whole changes.
        magnitudes: the number of layers with a magnitude (DoRA).
        dtypes: the dtypes of the tensors.
        parameters: the number of values in all layers.
        skipped: the reason, by key, for keys that belong to no layer.
        title, base_model, trigger: what the metadata says, or None.
        tags: the most frequent words of the training's captions, with how often they occur.
    """

    format: str
    layers: Mapping[str, int]
    ranks: Mapping[int | None, int]
    magnitudes: int
    dtypes: tuple[str, ...]
    parameters: int
    skipped: Mapping[str, str]
    title: str | None
    base_model: str | None
    trigger: str | None
    tags: Mapping[str, int]


def summarise(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], origin: object = "this LoRA file"
) -> Summary:
    """Return what is in a file.

    Raises:
        ArgumentTypeError, DamagedFileError, UnsupportedCheckpointError: as for `read_lora`.
    """
    groups, skipped, style = group(tensors, origin)
    used = [tensor for one in groups.values() for tensor in one.tensors.values()]
    return Summary(
        format=style,
        layers=dict(Counter(component_of(stem) or "" for stem in groups)),
        ranks=dict(Counter(one.rank for one in groups.values())),
        magnitudes=sum(
            bool({"magnitude", "dora_scale"} & set(one.keys)) for one in groups.values()
        ),
        dtypes=tuple(sorted({str(one.dtype).removeprefix("torch.") for one in used})),
        parameters=sum(one.numel() for one in used if one.ndim),
        skipped=skipped,
        title=entry(metadata, _TITLE),
        base_model=entry(metadata, BASE_MODEL),
        trigger=entry(metadata, _TRIGGER),
        tags=_tags(metadata.get(_TAGS)),
    )


def entry(metadata: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """Return the first entry of the metadata that says something, else None."""
    found = (metadata.get(name) for name in names)
    return next((one for one in found if isinstance(one, str) and one not in ("", "None")), None)


def _tags(text: object) -> dict[str, int]:
    """Return the most frequent tags of all folders of the training's pictures."""
    if not isinstance(text, str):
        return {}
    try:
        found = parse_json(text.encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return {}
    counts: Counter[str] = Counter()
    for folder in found.values() if isinstance(found, dict) else ():
        for tag, count in folder.items() if isinstance(folder, dict) else ():
            if type(count) is int and 0 < count < 1 << 40:
                counts[tag.strip()] += count
    return dict(counts.most_common(_MOST_TAGS))
