"""Checkpoints that are one stage of a chain and need another stage, such as a prior.

The family's manifest says which line such a class opens as, and the keyword of the other stage,
such as `prior`. The keyword is also the key in the metadata of the checkpoint's README.md that
names the other checkpoint, and the prefix of the other stage's components in the combined pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    ConfigError,
    UnsafeCheckpointError,
)
from ..kinds import shared
from ..manifest import Pipeline
from ..registry import Registry
from ..wording import shown
from .hub.opening import open_repository
from .hub.upload import CARD_NAME
from .names import is_plain
from .source import HubOptions, LocalSource, Source

_LARGEST_CARD = 2**20
_LARGEST_HEAD = 2**15
_LONGEST_NAME = 1000
_NULL = "tag:yaml.org,2002:null"
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def keyword_of(stage: Pipeline, opened: type, registry: Registry) -> str | None:
    """Return the keyword of the stage that `opened` needs in addition to `stage`, or None."""
    wanted = registry.pipeline_of(opened)
    if wanted is None or wanted is stage:
        return None
    return stage.needs if wanted.line == stage.opens_as else None


def names_of(keyword: str, opened: Any) -> dict[str, str]:
    """Return the components of `opened` that belong to the other stage, with their names there."""
    prefix = f"{keyword}_"
    return {n: n.removeprefix(prefix) for n in opened.module_names() if n.startswith(prefix)}


def check_fits(keyword: str, opened: Any, names: Iterable[str], what: str) -> None:
    """Check that a pipeline with the components `names` can be the other stage of `opened`.

    Args:
        what: the pipeline, for the message.

    Raises:
        ArgumentError: if it lacks a component that `opened` needs.
    """
    missing = sorted(set(names_of(keyword, opened).values()) - set(names))
    if missing:
        raise ArgumentError(
            f"{opened.__name__} can't use {what} as its {keyword}, because it has no "
            f"{' and no '.join(missing)}; pass another {keyword}="
        )


def with_loaded(keyword: str, opened: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` with the pipeline under `keyword` replaced by its components.

    Components that are given by their own names take precedence. Schedulers are copied, other
    components are shared.

    Raises:
        ArgumentTypeError: if the value under `keyword` is not a pipeline.
        ArgumentError: if its components don't fit.
    """
    rest = {name: value for name, value in given.items() if name != keyword}
    pipe = given.get(keyword)
    if pipe is None:
        return rest
    components = getattr(pipe, "components", None)
    if not isinstance(components, Mapping):
        raise ArgumentTypeError(
            f"{keyword} must be a folder, a repository id or a loaded pipeline, not "
            f"{type(pipe).__name__}"
        )
    check_fits(keyword, opened, components, f"a {type(pipe).__name__}")
    taken = {name: shared(components[own]) for name, own in names_of(keyword, opened).items()}
    return {**taken, **rest}


def origin_of(keyword: str, stage: object) -> dict[str, str]:
    """Return `{keyword: origin}` of a pipeline given under `keyword`; empty if unknown."""
    origin = getattr(stage, "origins", {}).get("")
    return {} if origin is None else {keyword: origin}


def lacks(keyword: str, opened: Any, what: str) -> ArgumentError:
    """Return the error for a missing stage of `opened`; `what` is the stage that is given."""
    return ArgumentError(
        f"{what} is one stage of a chain, and {opened.__name__} also needs a {keyword}; pass a "
        f"folder, a repository id or a loaded pipeline as {keyword}="
    )


def open_named(keyword: str, source: Source, hub: HubOptions) -> Source | None:
    """Open the checkpoint that the README.md of `source` names under `keyword`; None if none.

    The name is a folder inside its own folder or beside it, or a Hub repository `owner/name`, which
    is opened at one commit.

    Args:
        hub: the options for a repository.

    Raises:
        ConfigError: if the metadata can't be read, or the entry is not a name.
        UnsafeCheckpointError: if the name leads elsewhere.
        CheckpointError: if there is no such folder or repository.
    """
    name = _named(source, keyword)
    if name is None:
        return None
    card = f"the {CARD_NAME} of {source.name}"
    folder = _folder(name, source, f"{card} names the {keyword} {shown(name)}", keyword)
    if folder is not None:
        return LocalSource(folder, follow_links=hub.follow_links)
    if not _REPOSITORY.fullmatch(name):
        raise CheckpointError(
            f"{card} names the {keyword} {shown(name)}, but there is no such folder in it or "
            f"beside it; correct it, or pass {keyword}="
        )
    return open_repository(name, hub)


def _folder(name: str, source: Source, opening: str, keyword: str) -> Path | None:
    """Return the folder `name`, relative to that of `source`; None if there is none."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    plain = parts and all(map(is_plain, parts)) and len(name) <= _LONGEST_NAME
    if not plain or name.startswith("~"):
        raise UnsafeCheckpointError(
            f"{opening}, which is neither a folder in it or beside it nor a repository; pass "
            f"{keyword}= if you trust it"
        )
    if not isinstance(source, LocalSource):
        return None
    own = source.root.resolve()
    target = (own / name).resolve()
    if not (target.is_relative_to(own) or target.parent == own.parent):
        raise UnsafeCheckpointError(
            f"{opening}, which is neither inside its own folder nor beside it; pass {keyword}= if "
            f"you trust it"
        )
    return target if target.is_dir() else None


def _named(source: Source, keyword: str) -> str | None:
    """Return the entry `keyword` of the metadata in the README.md, or None."""
    if CARD_NAME not in source.files():
        return None
    file = source.fetch([CARD_NAME]) / CARD_NAME
    import yaml

    try:
        with source.open(file, _LARGEST_CARD) as stream:
            head = _head(stream.read(_LARGEST_CARD).decode("utf-8-sig"))
        # Only parsed, not constructed: a few lines of YAML can expand to any amount of data.
        root = yaml.compose(head, yaml.SafeLoader)
    except UnsafeCheckpointError:
        raise
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"the metadata in {file} can't be read ({error or type(error).__name__}); correct it, "
            f"or pass {keyword}="
        ) from error
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    named = next((value for key, value in entries if key.value == keyword), None)
    if isinstance(named, yaml.SequenceNode) and len(named.value) == 1:
        (named,) = named.value
    if named is None or named.tag == _NULL:
        return None
    if not isinstance(named, yaml.ScalarNode):
        raise ConfigError(
            f"the entry {keyword} in {file} must be the name of one folder or repository; correct "
            f"it, or pass {keyword}="
        )
    return str(named.value).strip()


def _head(card: str) -> str:
    """Return the YAML block at the beginning of a model card, between its `---` lines."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    block = REGEX_YAML_BLOCK.search(card.lstrip())
    head = block[2] if block else ""
    if len(head) > _LARGEST_HEAD:
        raise ValueError(f"it is longer than {_LARGEST_HEAD:,} characters")
    return head
