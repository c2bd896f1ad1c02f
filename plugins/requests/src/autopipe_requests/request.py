"""A request: the data that decides what is generated, with an id that is a hash of it.

A request names a checkpoint, a task, the arguments of one call, what is attached, a scheduler, an
engine and a seed. It makes one result: several images of one prompt are several requests whose
seeds count up. What doesn't change the result, such as the device or the number of threads, is not
in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

ID_LENGTH = 32
"""The number of hexadecimal digits of an id, which has 128 bits."""


class Data(BaseModel):
    """Immutable data that refuses unknown fields, NaN and infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class File(Data):
    """A file in the arguments of a call, such as an image.

    Attributes:
        file: its path, or in a written picture only its name.
        sha256: the hash of its bytes.
    """

    file: str
    sha256: str | None = None


class Checkpoint(Data):
    """A checkpoint of a pipeline or of a network.

    Attributes:
        name: a folder, a single file, a repository, or `demo:NAME`.
        commit: the commit of a repository.
        variant: the variant of the weight files, such as `fp16`.
        dtype: the dtype of the weights; None for the default.
        config: the folder or repository with what a single file lacks.
        fingerprint: a hash of its configs and of parts of its weights, for local files.
    """

    name: str
    commit: str | None = None
    variant: str | None = None
    dtype: str | None = None
    config: str | None = None
    fingerprint: str | None = None


class Scheduler(Data):
    """A scheduler that replaces the checkpoint's.

    Attributes:
        name: the class name.
        config: the settings that differ from the checkpoint's.
    """

    name: str
    config: dict[str, JsonValue] = Field(default_factory=dict)


class Addition(Data):
    """An add-on that is attached.

    Attributes:
        addon: its name in the registry, such as `lora`.
        source: the file, folder or repository that it loads, if any.
        strength: as for `pipe.attach`.
        sha256: the hash of the file's bytes.
        optional: whether it is left out if it doesn't fit the pipeline.
    """

    addon: str
    source: str | None = None
    strength: JsonValue = 1.0
    sha256: str | None = None
    optional: bool = False


class Stage(Data):
    """What one checkpoint does.

    Attributes:
        checkpoint: the checkpoint.
        scheduler: the scheduler that replaces its own, or None.
        arguments: arguments of the call by name. A file is an object with the fields of `File`.
    """

    checkpoint: Checkpoint
    scheduler: Scheduler | None = None
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class Request(Stage):
    """The request for one image, clip, sound or array.

    Attributes:
        seed: the seed of the noise.
        task: the task; None for a pipeline that serves no task.
        size: width and height in pixels. Input images are resized to it.
        conditions: the models of conditions, and True for those without a model, by keyword.
        stages: the checkpoints of other stages of a chain, by keyword.
        addons: what is attached, in this order.
        engine: the engine of all networks, or engines by component; None for torch's eager mode.
        upscale: the stages that enlarge the result.
    """

    seed: int = Field(ge=0, lt=2**63)
    task: str | None = None
    size: tuple[int, int] | None = None
    conditions: dict[str, Checkpoint | bool] = Field(default_factory=dict)
    stages: dict[str, str] = Field(default_factory=dict)
    addons: tuple[Addition, ...] = ()
    engine: str | dict[str, str] | None = None
    upscale: tuple[Stage, ...] = ()

    @field_validator("size")
    @classmethod
    def _positive(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size is not None and min(size) < 1:
            raise ValueError("width and height are at least 1")
        return size

    def canonical(self) -> str:
        """Return the canonical JSON: what changes the result, with sorted keys.

        Files and local checkpoints count by their hash, not by their name, if it is known.
        """
        data = self.shareable().model_dump(exclude_defaults=True)
        return json.dumps(_counted(data), sort_keys=True)

    def shareable(self) -> Request:
        """Return the request without what only concerns the machine of its user.

        Of input files only the names are left, and the user's folder is written as `~`.
        """
        fields = _shareable(dict(self), os.path.expanduser("~"))
        # A text that begins like a path may be a prompt. Files in arguments have no folders left.
        fields["arguments"] = _shareable(self.arguments, "")
        return Request.model_construct(**fields)

    @property
    def id(self) -> str:
        """The id: the first 32 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:ID_LENGTH]

    def with_seed(self, seed: int) -> Request:
        """Return this request with another seed."""
        return self.model_copy(update={"seed": seed})


_NAMED_BY_HASH = (("file", "sha256"), ("source", "sha256"), ("name", "fingerprint"))


def _shareable(value: Any, home: str) -> Any:
    if isinstance(value, BaseModel):
        return value.model_copy(update=_shareable(dict(value), home))
    if isinstance(value, Mapping):
        found = {key: _shareable(one, home) for key, one in value.items()}
        if isinstance(value.get("file"), str) and value.get("sha256"):
            found["file"] = os.path.basename(value["file"])
        return found
    if isinstance(value, (list, tuple)):
        return type(value)(_shareable(one, home) for one in value)
    if isinstance(value, str) and len(home) > 1 and value.startswith(home + os.sep):
        return "~" + value[len(home) :]
    return value


def _counted(value: Any) -> Any:
    """Return the JSON value without the names of what is known by its hash."""
    if isinstance(value, Mapping):
        hidden = [name for name, known in _NAMED_BY_HASH if value.get(known) is not None]
        return {key: _counted(one) for key, one in value.items() if key not in hidden}
    if isinstance(value, (list, tuple)):
        return [_counted(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
