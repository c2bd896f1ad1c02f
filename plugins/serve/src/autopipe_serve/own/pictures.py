"""`POST /settings`: the settings that are in a picture, as a request takes them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from autopipe.errors import ArgumentError, ImageFileError
from autopipe.registry import Registry
from autopipe.wording import shown
from autopipe_requests.foreign import foreign_of
from autopipe_requests.pictures import texts_of
from autopipe_requests.record import KEY, Record
from autopipe_requests.replaying import read

from ..errors import Refusal
from ..settings import Settings
from ..studio import Studio
from .bodies import file_in

_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".bin")


def router(studio: Studio, settings: Settings, registry: Registry) -> APIRouter:
    """Return the route."""
    found = APIRouter()

    @found.post("/settings")
    async def read_settings(request: Request) -> dict[str, Any]:
        """Return what `POST /requests` takes to draw a picture again, as far as that is possible.

        The picture is the field `file` of a form, or of JSON in base64. It can be one of this
        project, or of a program whose texts are known.
        """
        content = await file_in(request)
        return await run_in_threadpool(
            settings_in, content, studio.names.models, settings.loras, registry
        )

    return found


def settings_in(
    content: bytes, models: Mapping[str, str], loras: Path | None, registry: Registry
) -> dict[str, Any]:
    """Return the settings in a picture; what this server hasn't got is told in `left`.

    Args:
        content: the bytes of the picture.
        models: the checkpoints by the names that clients use, the default first.
        loras: the folder of adapters, or None.
        registry: the installed packages.

    Raises:
        Refusal: if there are none, or it can't be read.
    """
    with tempfile.TemporaryDirectory(prefix="autopipe-settings-") as folder:
        file = Path(folder) / "picture"
        file.write_bytes(content)
        folders = [] if loras is None else [loras]
        try:
            program, name = _source(file)
            model = model_named(name, models)
            chosen = model or next(iter(models), "")
            found = read(file, folders, registry, model=chosen, anyway=True)
        except (ArgumentError, ImageFileError) as error:
            text = str(error).replace(repr(str(file)), "the picture")
            raise Refusal(422, text, param="file") from None
    given, left = _plain(found.given, folders)
    if model is None and name:
        left.insert(0, f"the model {shown(name)}, which this server hasn't got under that name")
    return {
        "program": program,
        "given": {**given, "model": chosen},
        "left": [*left, *found.left],
        "differs": [*found.differs],
    }


def model_named(name: str, models: Mapping[str, str]) -> str | None:
    """Return the model that a picture names, as clients name it, or None."""
    exact = (own for own, checkpoint in models.items() if name in (own, checkpoint))
    stems = ((own, {_stem(own), _stem(one)}) for own, one in models.items())
    alike = (own for own, known in stems if name and _stem(name) in known)
    return next(exact, None) or next(alike, None)


def _source(file: Path) -> tuple[str, str]:
    """Return the program that wrote a picture, and the model that the picture names."""
    texts = texts_of(file)
    if KEY in texts:
        return "autopipe", Record.read(texts[KEY]).request.checkpoint.name
    found = foreign_of(texts)
    return ("", "") if found is None else (found.program, found.names.get("model", ""))


def _plain(given: Mapping[str, Any], folders: list[Path]) -> tuple[dict[str, Any], list[str]]:
    """Return settings without what only the server's machine knows, and what is left out."""
    found, left = dict(given), []
    found.pop("checkpoint", None)
    addons = []
    for one in found.pop("addons", ()):
        source = Path(one["source"]).name if one.get("source") else None
        if source is not None and not any((folder / source).exists() for folder in folders):
            left.append(f"{one['addon']}: the file {shown(source)}, which this server hasn't got")
        else:
            addons.append({**one, "source": source} if source else one)
    arguments = {}
    for name, value in found.pop("arguments", {}).items():
        if isinstance(value, Mapping) and "file" in value:
            left.append(f"{name}: the file {shown(Path(str(value['file'])).name)}; send it again")
        else:
            arguments[name] = value
    found = {**found, **arguments, **({"addons": addons} if addons else {})}
    return found, left


def _stem(name: str) -> str:
    plain = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return next((plain[: -len(s)] for s in _WEIGHTS if plain.endswith(s)), plain).lower()
