"""The files in what a client describes: written into the folder of its request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.registry import Registry
from autopipe.tasks import Input
from autopipe_requests.inputs import FILES, key_of

from ..errors import Refusal
from ..uploads import Uploads
from .store import Store


def inputs_of(registry: Registry) -> list[Input]:
    """Return the inputs of all tasks, conditions and add-ons."""
    owners = (*registry.tasks, *registry.conditions.values(), *registry.of("addon").values())
    return [one for owner in owners for one in owner.inputs]


class Files:
    """Writes the files of one request; each is left by the name that it has in the folder.

    A file is an object, `{"upload": ID}`, or `{"file": TEXT}` with base64, a `data:` URI or an
    address. For inputs that are files, the text itself will do.

    Args:
        uploads: the folder.
        store: the uploads that ids name.
        owner: whose uploads these are.
        registry: the installed packages.
    """

    def __init__(self, uploads: Uploads, store: Store, owner: str, registry: Registry) -> None:
        self._uploads, self._store, self._owner = uploads, store, owner
        inputs = [one for one in inputs_of(registry) if one.kind in FILES]
        self._kinds = {one.name: one.kind for one in reversed(inputs)}
        self._kinds |= {key_of(one): one.kind for one in reversed(inputs)}

    def written(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a client describes, with names of files in place of their content.

        Raises:
            Refusal: if a file is not taken; see `Uploads.add_text`.
        """
        found = {key: self._value(key, one) for key, one in given.items()}
        arguments = found.get("arguments")
        if isinstance(arguments, Mapping):
            found["arguments"] = {key: self._value(key, one) for key, one in arguments.items()}
        return found

    def _value(self, key: str, value: Any) -> Any:
        kind = self._kinds.get(key.replace("-", "_"))
        if isinstance(value, list):
            return [self._value(key, one) for one in value]
        if isinstance(value, Mapping):
            if value.keys() == {"upload"}:
                content = self._store.content(value["upload"], self._owner, key)
                return {"file": self._uploads.add(content, key, kind or "image")}
            if "file" in value:
                if value.keys() != {"file"} or not isinstance(value["file"], str):
                    raise Refusal(
                        400, f'{key} is a file; give {{"file": BASE64}} or {{"upload": ID}}',
                        param=key,
                    )  # fmt: skip
                return {"file": self._uploads.add_text(value["file"], key, kind or "image")}
        elif kind and isinstance(value, str):
            return self._uploads.add_text(value, key, kind)
        return value
