"""Reads the request of a picture again: what it takes, and what differs from when it was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.wording import clean, cut, shown

from .foreign import Foreign, foreign_of
from .pictures import texts_of
from .record import KEY, Circumstances, Record

_CHECKPOINTS = (".safetensors", ".ckpt", ".pt", ".bin")
_HASHES = ("sha256", "fingerprint")


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
        folders: where files that it names are looked for, by name.
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
    checkpoint = data["checkpoint"]
    if model is not None:
        data["checkpoint"] = {**checkpoint, "name": model}
    elif "/" in checkpoint["name"] and not Path(checkpoint["name"]).expanduser().exists():
        name = next(_named(Path(checkpoint["name"]).name, folders), checkpoint["name"])
        data["checkpoint"] = {**checkpoint, "name": str(name)}
    data["addons"] = [_with_source(one, folders) for one in data.get("addons", ())]
    arguments = data.get("arguments", {})
    data["arguments"] = {name: _with_file(one, folders) for name, one in arguments.items()}
    return Found(_without_hashes(data) if anyway else data, record)


def _with_source(one: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Return an add-on whose file is looked for by name if it isn't where it was."""
    source = one.get("source")
    if source is None or "sha256" not in one or is_file(Path(source).expanduser()):
        return dict(one)
    return {**one, "source": str(next(_named(Path(source).name, folders), source))}


def _with_file(value: Any, folders: Sequence[Path]) -> Any:
    if not isinstance(value, dict) or "sha256" not in value:
        return value
    name = Path(value["file"]).name
    return {**value, "file": str(next(_named(name, folders), name))}


def _named(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files and folders of a plain name."""
    for folder in folders if name not in ("", ".", "..") else ():
        if (folder / name).exists():
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


def _weights(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of weights of a name without a suffix, and folders of it."""
    plain = Path(name.replace("\\", "/")).name
    stem = plain[: -len(Path(plain).suffix)] if Path(plain).suffix in _CHECKPOINTS else plain
    for end in (*_CHECKPOINTS, ""):
        yield from _named(f"{stem}{end}" if stem else "", folders)


def differences(then: Circumstances, now: Circumstances) -> list[str]:
    """Return what can change the last bits of a result, a line each."""
    names = {
        "pipeline": "the pipeline",
        "device": "the device",
        "processor": "the processor",
        "instructions": "the instructions of the processor",
        "threads": "the number of threads",
    }
    found = [
        _changed(about, getattr(then, name), getattr(now, name))
        for name, about in names.items()
        if getattr(then, name) != getattr(now, name)
    ]
    for name in sorted(then.versions.keys() | now.versions.keys()):
        before, after = then.versions.get(name), now.versions.get(name)
        if before != after:
            found.append(_changed(name, before, after))
    return found


def _changed(what: str, before: object, after: object) -> str:
    then, now = (cut(clean(str(one or "not there"), keep="")) for one in (before, after))
    return f"{cut(clean(what, keep=''))}: {then} then, {now} here"
