"""Reads the request of a picture again, and finds the files that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autopipe.checkpoint.address import DEMO
from autopipe.errors import ArgumentError, ImageFileError
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.wording import shown

from .checking import class_of
from .completing import Completion, Draft
from .foreign import Foreign, foreign_of
from .hashes import sha256_of
from .pictures import texts_of
from .record import KEY, Record
from .signatures import takes_of

_CHECKPOINTS = (".safetensors", ".ckpt", ".pt", ".bin")
_HASHES = ("sha256", "fingerprint")
_LOADING = ("variant", "dtype", "config")


@dataclass(frozen=True)
class Found:
    """What a picture says about its request.

    Attributes:
        given: the request as `Completion.complete` takes it.
        record: its record, if it is one of ours.
        left: what isn't taken over, a sentence each.
        differs: what isn't reproduced although it is taken over, a sentence each.
    """

    given: Mapping[str, Any]
    record: Record | None = None
    left: Sequence[str] = ()
    differs: Sequence[str] = ()


def read(
    file: str | Path,
    folders: Sequence[Path],
    registry: Registry,
    *,
    model: str | None = None,
    anyway: bool = False,
) -> Found:
    """Read the request of a picture.

    Args:
        file: the picture.
        folders: where checkpoints and add-ons that it names are looked for, by name.
        registry: the installed packages.
        model: the checkpoint to use in place of the one that it names.
        anyway: whether files that have changed are accepted.

    Raises:
        ArgumentError: if it has no settings that are known here, or its checkpoint isn't found.
        ImageFileError: if it can't be read.
    """
    texts = texts_of(file)
    if KEY in texts:
        return _of_record(Record.read(texts[KEY]), folders, model, anyway=anyway)
    found = foreign_of(texts)
    if found is None:
        raise ArgumentError(
            f"{shown(str(file))} has no settings that are known here; give a picture as a program "
            f"wrote it, since many sites remove them"
        )
    return _of_foreign(found, folders, registry, model)


def _of_record(
    record: Record, folders: Sequence[Path], model: str | None, *, anyway: bool
) -> Found:
    data = record.request.model_dump(exclude_defaults=True)
    data["checkpoint"] = _checkpoint(data["checkpoint"], folders, model)
    data["addons"] = [_with_source(one, folders) for one in data.get("addons", ())]
    return Found(_without_hashes(data) if anyway else data, record)


def _checkpoint(
    named: Mapping[str, Any], folders: Sequence[Path], model: str | None
) -> dict[str, Any]:
    """Return the checkpoint of a record as it is found here."""
    name = named["name"]
    if model is not None:
        return {"name": model, **{key: named[key] for key in _LOADING if key in named}}
    if "fingerprint" not in named or name.startswith(DEMO) or _is_there(name):
        return dict(named)  # on this machine, or of the Hub
    found = next(_named(Path(name).name, folders), None)
    if found is None:
        raise ArgumentError(
            f"the checkpoint {shown(name)} is neither there nor in the given folders; give --model "
            f"CHECKPOINT, or --folder with a folder of it"
        )
    return {**named, "name": str(found)}


def _with_source(one: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Return an add-on whose file is looked for by name if it isn't where it was."""
    source = one.get("source")
    if source is None or "sha256" not in one or _is_there(source):
        return dict(one)
    found = _same_or_first(Path(source).name, folders, one["sha256"])
    if found is None:
        raise ArgumentError(
            f"the file {shown(source)} of {shown(one['addon'])} is neither there nor in the given "
            f"folders; give --folder with a folder of it"
        )
    return {**one, "source": str(found)}


def finder(folders: Sequence[Path]) -> Callable[[str, str | None], Path]:
    """Return a function that finds the input files of a picture, as `Completion` takes it.

    A picture has only their names, and what else it says is not used: it can't name a file that is
    not in these folders. Of several, that with the same hash is found.

    Raises:
        ImageFileError: by the function, if no file has this name.
    """

    def find(file: str, sha256: str | None) -> Path:
        name = Path(file).name
        found = _same_or_first(name, folders, sha256)
        if found is None:
            raise ImageFileError(
                f"the picture was drawn from the file {shown(name)}, which isn't in the given "
                f"folders; give --folder with a folder of it"
            )
        return found

    return find


def _same_or_first(name: str, folders: Sequence[Path], sha256: str | None) -> Path | None:
    """Return the file of a name with a hash, else one without it, else None."""
    found = [one for one in _named(name, folders) if is_file(one)]
    return next((one for one in found if sha256_of(one) == sha256), next(iter(found), None))


def _is_there(name: str) -> bool:
    return os.path.exists(os.path.expanduser(name))


def _named(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files and folders of a plain name."""
    for folder in folders if name not in ("", ".", "..") else ():
        if os.path.exists(folder / name):
            yield folder / name


def _without_hashes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_hashes(one) for key, one in value.items() if key not in _HASHES}
    return [_without_hashes(one) for one in value] if isinstance(value, (list, tuple)) else value


def _of_foreign(
    found: Foreign, folders: Sequence[Path], registry: Registry, model: str | None
) -> Found:
    given, left = dict(found.given), list(found.left)
    name = found.names.get("model")
    if model is None:
        model = next(map(str, _weights(name or "", folders)), None)
    if model is None:
        named = f"the model {shown(name)}, which isn't in the given folders" if name else "no model"
        raise ArgumentError(
            f"the picture of {found.program} names {named}; give --model CHECKPOINT, or --folder "
            f"with a folder of it"
        )
    if given.pop("strength", None) is not None:  # The image that it starts from isn't there.
        left.append("the strength, which is for an image to start from")
    if "seed" not in given:
        left.append("the seed, which it doesn't have; a random one is used")
    loras = []
    for lora, weight in found.loras:
        file = next(_weights(lora, folders), None)
        if file is None:
            left.append(f"the LoRA {shown(lora)}, which isn't in the given folders")
        else:
            loras.append({"addon": "lora", "source": str(file), "strength": weight})
    if found.grammar in registry.of("addon"):
        loras.append({"addon": found.grammar})
    if loras:
        given["addons"] = loras
    return Found({**given, "model": model}, None, left, found.differs)


def drafted(found: Found, completion: Completion) -> tuple[Draft, list[str]]:
    """Return the draft of the request, and what of another program the pipeline doesn't take.

    Raises:
        AutopipeError: as for `Completion.draft`.
    """
    draft = completion.draft(found.given)
    if found.record is not None:
        return draft, []
    name = draft.opened.index.class_name
    cls = class_of(name, draft.task, draft.conditions, completion.registry)
    takes = takes_of(cls)
    left = [one for one in draft.arguments if one not in takes and one != "prompt"]
    kept = {one: value for one, value in draft.arguments.items() if one not in left}
    return replace(draft, arguments=kept), [f"{o}, which {cls.__name__} doesn't take" for o in left]


def _weights(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of weights of a name without a suffix, and folders of it."""
    plain = Path(name.replace("\\", "/")).name
    stem = plain[: -len(Path(plain).suffix)] if Path(plain).suffix in _CHECKPOINTS else plain
    for end in (*_CHECKPOINTS, ""):
        yield from _named(f"{stem}{end}" if stem else "", folders)
