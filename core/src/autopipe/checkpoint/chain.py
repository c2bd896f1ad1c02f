"""Checkpoints that are one stage of a chain, and where the stage that they need is.

A family's manifest says of such a class which line it opens as, and by which keyword the other
stage goes: `prior`, for example. The same word is the key in the metadata of the checkpoint's
README.md that names the other checkpoint, and begins the names of its components in the pipeline
of both.
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
    """The keyword of what the class `opened` needs besides a checkpoint of the pipeline `stage`."""
    wanted = registry.pipeline_of(opened)
    if wanted is None or wanted is stage:
        return None
    return stage.needs if wanted.line == stage.opens_as else None


def names_of(keyword: str, opened: Any) -> dict[str, str]:
    """The components of `opened` that belong to the other stage, with their names there."""
    prefix = f"{keyword}_"
    return {n: n.removeprefix(prefix) for n in opened.module_names() if n.startswith(prefix)}


def check_fits(keyword: str, opened: Any, names: Iterable[str], what: str) -> None:
    """Refuse a pipeline that lacks components with `names`, as the other stage of `opened`.

    Args:
        what: it, for the message.

    Raises:
        ArgumentError: it is so.
    """
    missing = sorted(set(names_of(keyword, opened).values()) - set(names))
    if missing:
        raise ArgumentError(
            f"{opened.__name__} can't take {what} as its {keyword}, which has no "
            f"{' and no '.join(missing)}; pass another one as {keyword}="
        )


def with_loaded(keyword: str, opened: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, with the components of a pipeline that it holds under `keyword` by their names.

    What is given by its own name goes first. Schedulers are copied, others shared.

    Raises:
        ArgumentTypeError: it is not a pipeline.
        ArgumentError: its components don't fit.
    """
    rest = {name: value for name, value in given.items() if name != keyword}
    pipe = given.get(keyword)
    if pipe is None:
        return rest
    components = getattr(pipe, "components", None)
    if not isinstance(components, Mapping):
        raise ArgumentTypeError(
            f"{keyword}= is a {type(pipe).__name__}; give a folder, a repository id or a loaded "
            f"pipeline"
        )
    check_fits(keyword, opened, components, f"a {type(pipe).__name__}")
    taken = {name: shared(components[own]) for name, own in names_of(keyword, opened).items()}
    return {**taken, **rest}


def origin_of(keyword: str, stage: object) -> dict[str, str]:
    """Where a pipeline that is given under `keyword` was loaded from, by that; empty if unknown."""
    origin = getattr(stage, "origins", {}).get("")
    return {} if origin is None else {keyword: origin}


def lacks(keyword: str, opened: Any, what: str) -> ArgumentError:
    """The error where the other stage of `opened` is not given; `what` is the one that is."""
    return ArgumentError(
        f"{what} is one stage of a chain, and {opened.__name__} needs a {keyword} besides; "
        f"pass {keyword}= a folder, a repository id or a loaded pipeline"
    )


def open_named(keyword: str, source: Source, hub: HubOptions) -> Source | None:
    """The checkpoint that the README.md of `source` names under `keyword`; None if it names none.

    What it names is either a folder inside its own or beside it, or a repository of the Hub,
    `owner/name`, which is opened at one commit. Nothing else is followed.

    Args:
        hub: where to look for a repository.

    Raises:
        ConfigError: the metadata can't be read, or the entry is not a name.
        UnsafeCheckpointError: it leads elsewhere.
        CheckpointError: there is no such folder or repository.
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
            f"{card} names the {keyword} {shown(name)}, and there is no such folder inside or "
            f"beside it; correct it, or pass {keyword}="
        )
    return open_repository(name, hub)


def _folder(name: str, source: Source, said: str, keyword: str) -> Path | None:
    """The folder that `name` means, seen from that of `source`; None if there is none."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    plain = parts and all(map(is_plain, parts)) and len(name) <= _LONGEST_NAME
    if not plain or name.startswith("~"):
        raise UnsafeCheckpointError(
            f"{said}, which is neither a folder inside or beside its own nor a repository; pass "
            f"{keyword}= if you trust it"
        )
    if not isinstance(source, LocalSource):
        return None
    own = source.root.resolve()
    target = (own / name).resolve()
    if not (target.is_relative_to(own) or target.parent == own.parent):
        raise UnsafeCheckpointError(
            f"{said}, which is neither inside its own folder nor beside it; pass {keyword}= if you "
            f"trust it"
        )
    return target if target.is_dir() else None


def _named(source: Source, keyword: str) -> str | None:
    """What the metadata at the head of the README.md has under `keyword`; None for nothing."""
    if CARD_NAME not in source.files():
        return None
    file = source.fetch([CARD_NAME]) / CARD_NAME
    import yaml

    try:
        with source.open(file, _LARGEST_CARD) as stream:
            head = _head(stream.read(_LARGEST_CARD).decode("utf-8-sig"))
        # Nothing is made of what is read: a few lines of YAML can stand for any amount of it.
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
            f"{file} has as its {keyword} something else than the name of one folder or "
            f"repository; correct it, or pass {keyword}="
        )
    return str(named.value).strip()


def _head(card: str) -> str:
    """The lines of a card between the first, `---`, and the next one like it."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    block = REGEX_YAML_BLOCK.search(card.lstrip())
    head = block[2] if block else ""
    if len(head) > _LARGEST_HEAD:
        raise ValueError(f"it is longer than {_LARGEST_HEAD:,} characters")
    return head
