"""Networks of transformers: which classes are supported, and how they load and save.

Checkpoints name these classes; only those listed here are looked up. This package reads configs and
weights; transformers only builds a network from a config. Tokenizers are in `processors`. No code
is fetched or run.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Collection, Container, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import AutopipeError, ConfigError
from ...wording import error_summary, shown
from ..build import WithoutMemory, check_not_quantized, check_sizes
from .entries import (
    ClipTextEntries,
    DepthEntries,
    LayerEntries,
    NetworkEntries,
    check_entries,
)

LIBRARY = "transformers"

STEMS = ("model", "pytorch_model")
"""The stems of transformers' weight files: safetensors and pickles."""

_MODELS = (
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
    "DPTForDepthEstimation",
    "T5EncoderModel",
    "XLMRobertaModel",
)
_IMAGE_PROCESSORS = ("CLIP", "DPT")
_TOKENIZERS = ("BertTokenizer", "CLIPTokenizer", "T5Tokenizer", "XLMRobertaTokenizer")

# Class names in checkpoints -> the name of the class in transformers 5.
CLASSES: Mapping[str, str] = {
    **{name: name for name in (*_MODELS, *_TOKENIZERS)},
    **{f"{name}Fast": name for name in _TOKENIZERS},
    **{
        f"{name}{kind}": f"{name}ImageProcessor"
        for name in _IMAGE_PROCESSORS
        for kind in (
            "ImageProcessor",
            "ImageProcessorFast",
            "ImageProcessorPil",
            "FeatureExtractor",
        )
    },
}

PROCESSOR_FILES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "preprocessor_config.json",
        "processor_config.json",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
"""The files that tokenizers and image processors save."""

_DESCRIBED: Mapping[str | None, type[LayerEntries]] = {
    "clip": NetworkEntries,
    "clip_text_model": ClipTextEntries,
    "clip_vision_model": NetworkEntries,
    "dpt": DepthEntries,
    "t5": NetworkEntries,
    "xlm-roberta": NetworkEntries,
}
"""The schema of each model type's config; of other model types only layers are checked."""

_HALVES = ("text_config", "vision_config")

_TRIED = 64
"""The most entries of a config that are tried to find the wrong one."""

_building = threading.Lock()

_UNTRUSTED = (
    "auto_map",
    "attn_implementation",
    "trust_remote_code",
    "custom_pipelines",
    # Set by each call.
    "return_dict",
    # They name another checkpoint, which transformers would fetch, or a class of another package.
    "backbone",
    "backbone_kwargs",
    "use_pretrained_backbone",
    "use_timm_backbone",
    # They set the size of label tables; no network here classifies.
    "num_labels",
    "id2label",
    "label2id",
)
_DROPPED_FROM_SAVED = ("_name_or_path", "_commit_hash", "_attn_implementation")


def find_class(class_name: str) -> type | None:
    """Return the class of transformers that a checkpoint calls `class_name`; None if not listed."""
    name = CLASSES.get(class_name)
    if name is None:
        return None
    import transformers

    cls: type = getattr(transformers, name)
    return cls


def is_model(cls: type) -> bool:
    """Whether `cls` is a network of transformers, or a subclass of its base class."""
    return any(
        base.__module__ == "transformers.modeling_utils" and base.__name__ == "PreTrainedModel"
        for base in cls.__mro__
    )


def saved_name(class_name: str) -> str:
    """Return the class name for an index, which every release of transformers knows."""
    return CLASSES.get(class_name, class_name)


# Networks


def usable(content: Mapping[str, Any], origin: Path | str, section: str = "") -> dict[str, Any]:
    """Return the entries of a config that a network may use: none that run code or take memory.

    Args:
        origin: the config file, for messages.
        section: the half of a text-and-image model's config that belongs to the network, if any.

    Raises:
        QuantizedWeightsError: if the weights are quantized.
    """
    found = _trusted(content)
    if section and isinstance(found.get(section), dict):
        # In configs of text-and-image models, the size of projections is outside the halves.
        both = {name: found[name] for name in ("projection_dim",) if name in found}
        found = {**found[section], **both}
    check_not_quantized(found, origin)
    return found


def _trusted(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without private entries and without those that run code or take memory."""
    return {
        name: _trusted(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if not name.startswith("_") and name not in _UNTRUSTED
    }


def build(cls: Any, config: Mapping[str, Any], origin: Path) -> nn.Module:
    """Build a network of `cls` from a config, and tie its weights.

    Args:
        origin: the folder of the config, for messages.

    Raises:
        ConfigError: if the config is malformed, or asks for something unsupported.
    """
    file = origin / "config.json"
    content = usable(config, file, getattr(cls.config_class, "base_config_key", ""))
    check_sizes(content, file)
    kinds = [_DESCRIBED.get(vars(base).get("model_type")) for base in cls.config_class.__mro__]
    for kind in filter(None, [*kinds, LayerEntries]):
        for part in (content, *(content.get(half) for half in _HALVES)):
            check_entries(kind, part if isinstance(part, Mapping) else {}, file)

    def make(entries: Mapping[str, Any]) -> nn.Module:
        # During initialisation, transformers replaces functions of torch for all threads.
        with _building:
            model = cls(cls.config_class.from_dict(dict(entries)))
        model.tie_weights()
        made: nn.Module = model
        return made

    try:
        return make(content)
    except AutopipeError:
        raise
    except Exception as error:
        name, value = _culprit(make, content)
        where = f", where {name} is {shown(value)}" if name else ""
        raise ConfigError(
            f"{cls.__name__} can't be created from {file}{where} ({error_summary(error)}); correct "
            f"it, or fetch the checkpoint again"
        ) from error


def _culprit(
    make: Callable[[Mapping[str, Any]], object], content: Mapping[str, Any]
) -> tuple[str, Any]:
    """Find the entry that prevents a network from being built; return its name and value.

    It is an entry without which, or with the value 1, the network can be built. Nested configs are
    searched, too.
    """
    for name, value in itertools.islice(content.items(), _TRIED):
        rest = {other: content[other] for other in content if other != name}
        if not any(_is_made(make, tried) for tried in (rest, {**rest, name: 1})):
            continue
        if isinstance(value, Mapping):

            def make_inner(part: Mapping[str, Any], name: str = name) -> object:
                return make({**content, name: part})

            inner, found = _culprit(make_inner, value)
            return (f"{name}.{inner}", found) if inner else (name, value)
        return name, value
    return "", None


def _is_made(make: Callable[[Mapping[str, Any]], object], content: Mapping[str, Any]) -> bool:
    try:
        with WithoutMemory():
            make(content)
    except Exception:
        return False
    return True


def kept_in_fp32(model: Any, dtype: torch.dtype | None) -> frozenset[str]:
    """Return the parts of names that stay float32 if the network is loaded as `dtype`."""
    half = (torch.float16,)
    rules = {"_keep_in_fp32_modules": half, "_keep_in_fp32_modules_strict": (*half, torch.bfloat16)}
    return frozenset(
        part
        for rule, dtypes in rules.items()
        if dtype in dtypes
        for part in getattr(model, rule, None) or ()
    )


def fitted(model: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with the names that `model` has in the installed release of transformers."""
    section = getattr(model.config, "base_config_key", "")
    halves = {"text_config": ["text_model"], "vision_config": ["vision_model"]}
    wrappers = {*halves.get(section, ["text_model", "vision_model"])}
    wrappers.add(getattr(model, "base_model_prefix", "") or "text_model")
    return renamed(state, model.state_dict().keys(), wrappers)


def renamed(
    state: Mapping[str, Tensor], expected: Collection[str], wrappers: Container[str]
) -> dict[str, Tensor]:
    """Return `state` with the `expected` names.

    Depending on the release of transformers that wrote a file, the same tensor is called
    `text_model.encoder.x`, `encoder.x` or (in the safety checker)
    `vision_model.vision_model.encoder.x`.

    Args:
        wrappers: the parts of names that only some releases write, such as `text_model`.
    """

    def bare(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in wrappers)

    by_bare = {bare(name): name for name in expected}
    fit: dict[str, Tensor] = {}
    for name, tensor in state.items():
        known = name if name in expected else by_bare.get(bare(name))
        if known is not None:
            if known == name or known not in state:
                fit[known] = tensor
        elif not name.endswith("position_ids"):  # old releases saved it; now it is computed
            fit[name] = tensor
    return fit


def record_dtype(model: Any) -> None:
    """Record the dtype of the weights in the network's config, as transformers does."""
    halves = (getattr(model.config, name, None) for name in _HALVES)
    for config in (model.config, *halves):
        if hasattr(config, "dtype"):
            config.dtype = model.dtype


def save_model_config(model: Any, folder: Path) -> None:
    """Write `config.json`."""
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    for name in _DROPPED_FROM_SAVED:
        config.__dict__.pop(name, None)
    config.save_pretrained(folder)
