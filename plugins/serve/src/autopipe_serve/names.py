"""What clients may name: the models, adapters and files that the operator or they themselves gave.

A request that a client writes has names. They are replaced by the paths that they stand for before
anything is opened; what would name anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autopipe.cli.options import stage_keywords
from autopipe.errors import ArgumentError, ImageFileError, MissingPluginError, nearest
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.wording import listed, shown
from autopipe_requests.fields import demo_of
from autopipe_requests.inputs import is_address, parted
from autopipe_requests.request import Addition, Checkpoint, Request, Stage

from .limits import LimitError
from .loras import lora_path
from .settings import Settings

_OF_OPERATOR = ("commit", "config", "dtype", "engine", "fingerprint", "revision", "variant")
"""Keys that change how checkpoints are opened."""

_MOST = 16
"""The number of add-ons, or of stages that enlarge, at most."""

_OF_STAGES = ("model", "checkpoint")


class Names:
    """The names that clients may use.

    Args:
        settings: the settings.
        registry: the installed packages.

    Attributes:
        models: the checkpoints by name, the default first.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self.registry, self._loras = registry, settings.loras
        self.models = dict(settings.models) or _demos(registry)
        self._of_paths = {path: name for name, path in reversed(self.models.items())}

    def replaced(self, given: Mapping[str, Any], default: str) -> dict[str, Any]:
        """Return what a client wrote with paths for names.

        Args:
            default: the name of the model if none is given.

        Raises:
            ArgumentError: if it names something that the operator doesn't offer.
        """
        found = {str(key).replace("-", "_"): one for key, one in given.items() if one is not None}
        _check_keys(found)
        named = [found.pop(key) for key in _OF_STAGES if key in found]
        found["model"] = self.model(named[-1] if named else default)
        stages = stage_keywords(self.registry)
        for key in stages:
            if key in found:
                found[key] = self.model(found[key], key)
        if "stages" in found:
            of_stages = _mapping("stages", found["stages"])
            found["stages"] = {k: self.model(v, k) for k, v in of_stages.items()}
        conditions = _mapping("conditions", found.pop("conditions", {}))
        for key in self.registry.conditions:
            if key in found:
                conditions[key] = found.pop(key)
        if conditions:
            found["conditions"] = {
                key: one if isinstance(one, bool) else self.model(one, key)
                for key, one in conditions.items()
            }
        if "upscale" in found:
            found["upscale"] = [self._stage(one) for one in _list("upscale", found["upscale"])]
        addons = [self._addon(one) for one in _list("addons", found.pop("addons", ()))]
        addons += [
            self._attached(*_parted(one)) for one in _list("attach", found.pop("attach", ()))
        ]
        for name, addon in self.registry.of("addon").items():
            key = addon.option.replace("-", "_")
            for one in _list(key, found.pop(key, ())) if key else ():
                if isinstance(one, Mapping):
                    addons.append(self._addon({"addon": name, **one}))
                else:
                    addons.append(self._attached(name, _text(key, one)))
        if addons:
            found["addons"] = addons
        return found

    def model(self, name: Any, key: str = "model") -> str:
        """Return the checkpoint of a name.

        Raises:
            ArgumentError: if the operator offers no such model.
        """
        if isinstance(name, Mapping) and name.keys() <= {"name"}:
            name = name.get("name")
        if not isinstance(name, str) or name not in self.models:
            hint = nearest(name, self.models)
            raise ArgumentError(
                f"{key} {shown(name)} is not a model of this server.{hint} It has "
                f"{listed(self.models, 30)}"
            )
        return self.models[name]

    def of_checkpoint(self, path: str) -> str:
        """Return the name of a checkpoint that clients may name."""
        return self._of_paths.get(path, path)

    def public(self, request: Request) -> Request:
        """Return a request with names of clients in place of paths on this machine."""
        names = self._of_paths

        def named(one: Any) -> Any:
            if isinstance(one, Checkpoint) and one.fingerprint is not None:
                return one.model_copy(update={"name": names.get(one.name, Path(one.name).name)})
            if isinstance(one, Addition) and one.sha256 is not None and one.source is not None:
                return one.model_copy(update={"source": Path(one.source).name})
            if isinstance(one, Stage):
                return one.model_copy(update={"checkpoint": named(one.checkpoint)})
            return one

        return request.model_copy(
            update={
                "checkpoint": named(request.checkpoint),
                "conditions": {key: named(one) for key, one in request.conditions.items()},
                "stages": {key: self.of_checkpoint(one) for key, one in request.stages.items()},
                "addons": tuple(map(named, request.addons)),
                "upscale": tuple(map(named, request.upscale)),
            }
        )

    def _stage(self, given: Any) -> dict[str, Any]:
        mapping = given if isinstance(given, Mapping) else {"model": given}
        found = dict(mapping)
        _check_keys(found)
        named = [found.pop(key) for key in _OF_STAGES if key in found]
        if not named:
            raise ArgumentError("a stage of upscale names no model; give model")
        return {**found, "model": self.model(named[-1], "upscale")}

    def _attached(self, name: str, text: str | None) -> dict[str, Any]:
        """Return an add-on from `FILE` or `FILE:STRENGTH`."""
        if text is None:
            return self._addon({"addon": name})
        file, strength = parted(text)
        return self._addon({"addon": name, "source": file, "strength": strength})

    def _addon(self, given: Any) -> dict[str, Any]:
        if isinstance(given, Addition):
            given = given.model_dump(exclude_defaults=True)
        found = _mapping("addons", given)
        source = found.get("source")
        if source is not None:
            text = _text("source", source)
            found["source"] = self.models.get(text) or str(lora_path(text, self._loras))
        return found


def finder(folder: Path | None) -> Callable[[str, str | None], Path]:
    """Return a function that finds the uploaded files of a request, as `Completion` takes it.

    Args:
        folder: where they are; None if there are none.

    Raises:
        ArgumentError: by the function, if an address is given.
        ImageFileError: by the function, if the file isn't there.
    """

    def find(file: str, sha256: str | None) -> Path:
        try:
            path = None if folder is None else folder / file
            if path and folder and is_file(path) and path.resolve().parent == folder.resolve():
                return path
        except (OSError, RuntimeError, ValueError):  # a loop of links, a null character
            pass
        raise ImageFileError(
            f"the file {shown(file)} is not one that was uploaded with the request; upload it"
        )

    return find


def check_addresses(value: Any) -> None:
    """Check that no file is an address, because the server itself fetches nothing.

    Raises:
        ArgumentError: if one is.
    """
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str) and is_address(value["file"]):
            raise ArgumentError(
                f"{shown(value['file'])} is an address, which this server doesn't fetch; send the "
                f"data of the image"
            )
        for one in value.values():
            check_addresses(one)


def _demos(registry: Registry) -> dict[str, str]:
    """Return the demos of the installed families, by name, the default first."""
    try:
        first = [demo_of(registry, None)]
    except MissingPluginError:
        return {}
    families = registry.families.items()
    every = [f"demo:{n}" for n, one in families if one.demo_opens or (one.demo and one.conditions)]
    return {name: name for name in (*first, *every)}


def _check_keys(given: Mapping[str, Any]) -> None:
    for key in _OF_OPERATOR:
        if key in given:
            raise ArgumentError(f"{key} is decided by the operator of this server; leave it out")


def _list(key: str, value: Any) -> list[Any]:
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(found) > _MOST:
        raise LimitError(
            f"{key} has {len(found):,} entries, and this server takes at most {_MOST}; give fewer"
        )
    return found


def _mapping(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{key} {shown(value)} is not valid: it takes an object")
    return {str(name): one for name, one in value.items()}


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ArgumentError(f"{key} {shown(value)} is not valid: it takes a text")
    return value


def _parted(value: Any) -> tuple[str, str | None]:
    name, _, source = _text("attach", value).partition("=")
    return name, source or None
