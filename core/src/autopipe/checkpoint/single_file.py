"""Loads pipelines and networks from single files; see `DiffusionPipeline.from_single_file`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..registry import Registry, default_registry
from ..wording import logger, shown
from .address import open_file, open_source
from .checkpoint import Checkpoint, load_model
from .index import open_index
from .options import LoadOptions, check_for_pipeline, split_keywords
from .single.opening import Said
from .single.original import read_original
from .source import Source

_log = logger(__name__)

_USELESS: Mapping[str, str] = {
    "image_size": "the config says it",
    "num_in_channels": "the shapes of the weights say it",
    "pipeline_class": "call from_single_file of that class",
    "model_type": "the names of the weights say it",
    "from_safetensors": "the name of the file says it",
}
"""Older keywords of diffusers that are accepted without effect, with the reason."""

_OF_NETWORKS: Mapping[str, str] = {
    "scaling_factor": "pass vae= from from_single_file(file, scaling_factor=...) of its class",
    "upcast_attention": "pass unet= from from_single_file of its class",
}
"""Keywords that only networks take."""

FORECASTS = ("epsilon", "sample", "v_prediction")
"""What a network may predict."""


def open_pipeline(
    given: str | Path, keywords: Mapping[str, Any], registry: Registry | None = None
) -> Checkpoint:
    """Open a single file as the checkpoint of a pipeline.

    Args:
        given: the path of the file, or its address on the Hub.
        keywords: as for `DiffusionPipeline.from_single_file`.

    Raises:
        ArgumentError: if a keyword can't be used.
        CheckpointError: if there is no such file, or it can't be read.
        UnsupportedCheckpointError: if no installed reader knows its layout, or it contains no
            pipeline.
    """
    registry = registry or default_registry()
    own, rest = _split(keywords, _OF_NETWORKS)
    options, components = split_keywords(rest)
    check_for_pipeline(options)
    if own.pop("load_safety_checker", None):
        raise ArgumentError(
            "load_safety_checker=True can't be used, because a single file has no safety checker; "
            "load one, and pass it as safety_checker= with its feature_extractor="
        )
    source = _open(given, own, None, options, registry)
    with source.unchanged():
        return Checkpoint(source, open_index(source, registry), options, components, registry)


def load_network(
    cls: Any, given: str | Path | Mapping[str, Any], keywords: Mapping[str, Any]
) -> Any:
    """Load a network of class `cls` from a single file; see `ModelMixin.from_single_file`."""
    own, rest = _split(keywords)
    own["subfolder"] = rest.pop("subfolder", None)
    if (device := rest.pop("device", None)) is not None:
        rest.setdefault("device_map", device)
    options, _ = split_keywords(rest)
    source = _open(given, own, cls, options, default_registry())
    return load_model(cls, source.name, source=source, **rest)


def _split(
    keywords: Mapping[str, Any], further: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the keywords of single files from those of loading.

    Args:
        further: further keywords without effect, with the reason.
    """
    rest = dict(keywords)
    every = {**_USELESS, **(further or {})}
    useless = [f"{n}= ({why})" for n, why in every.items() if rest.pop(n, None) is not None]
    if useless:
        _log.warning("ignored keywords without effect: %s", "; ".join(useless))
    if rest.pop("extract_ema", False):
        raise ArgumentError(
            "extract_ema=True is not supported: the averaged weights of the file are passed over; "
            "leave it out, or use a file that holds only these"
        )
    older = rest.pop("original_config_file", None)
    if older is not None:
        rest["original_config"] = older
    names = ("config", "original_config", "prediction_type", "scheduler_type")
    return {name: rest.pop(name, None) for name in (*names, "load_safety_checker")}, rest


def _open(
    given: str | Path | Mapping[str, Any],
    own: Mapping[str, Any],
    network: type | None,
    options: LoadOptions,
    registry: Registry,
) -> Source:
    config, original, predicted = own["config"], own["original_config"], own["prediction_type"]
    if config is not None and original is not None:
        raise ArgumentError(
            "config= and original_config= both describe the networks; give one of them"
        )
    if predicted is not None and predicted not in FORECASTS:
        raise ArgumentError(
            f"prediction_type={shown(predicted)} is not one of {', '.join(FORECASTS)}"
        )
    said = Said(
        None if config is None else open_source(config, options.hub, registry),
        own.get("subfolder"),
        network,
        None if original is None else read_original(original),
        predicted,
        own["scheduler_type"],
    )
    return open_file(given, options.hub, registry, said)
