"""The component of checkpoints in the onnx layout: a network that ONNX Runtime runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, CheckpointError
from autopipe.json_files import read_json_object
from autopipe.wording import error_summary, listed, shown

from .files import CONFIG, MODEL, check_model
from .session import open_session

_Self = TypeVar("_Self", bound="OnnxRuntimeModel")

NUMPY_TYPES: Mapping[str, type[Any]] = {
    "tensor(bool)": np.bool_,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int16)": np.int16,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(uint32)": np.uint32,
    "tensor(int64)": np.int64,
    "tensor(uint64)": np.uint64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}
"""The type of arrays, by the runtime's name of it."""


class OnnxRuntimeModel:
    """A network in the ONNX format, `model.onnx` and perhaps files with its weights beside it.

    Attributes:
        model: the `onnxruntime.InferenceSession`.
        model_save_dir: the folder of its files, which `save_pretrained` copies; None if unknown.
        latest_model_name: the name of its file there.
        config: the content of the `config.json` beside it; empty if there is none.
    """

    checkpoint_files: ClassVar[tuple[str, ...]] = ("*.onnx", "*.onnx_data", "*.onnx.data", "*.pb")
    """The files that a checkpoint has for it."""

    def __init__(
        self,
        model: onnxruntime.InferenceSession | None = None,
        *,
        model_save_dir: str | Path | None = None,
        latest_model_name: str = MODEL,
    ) -> None:
        self.model: Any = model
        self.model_save_dir = None if model_save_dir is None else Path(model_save_dir)
        self.latest_model_name = latest_model_name
        self.config: Mapping[str, Any] = {}
        if self.model_save_dir is not None and (self.model_save_dir / CONFIG).is_file():
            self.config = read_json_object(self.model_save_dir / CONFIG)

    def __getstate__(self) -> dict[str, Any]:
        """Return the place of its files: another process opens them again."""
        return {"model_save_dir": self._file.parent, "latest_model_name": self.latest_model_name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        file = Path(state["model_save_dir"]) / state["latest_model_name"]
        self.__init__(self.load_model(file), **state)  # type: ignore[misc]

    def __deepcopy__(self: _Self, memo: object) -> _Self:
        """Return the network itself, which can't be changed: copies of a pipeline share it."""
        return self

    def __call__(self, **inputs: Any) -> list[np.ndarray]:
        """Return the outputs for inputs that are arrays or nested lists of numbers, by name."""
        given = {name: np.asarray(value) for name, value in inputs.items()}
        outputs: list[np.ndarray] = self.model.run(None, given)
        return outputs

    def run(self, **inputs: Tensor) -> list[Tensor]:
        """Return the outputs for tensors, which are cast to the types that the network takes.

        Raises:
            ArgumentError: if the network has no such input, or takes another shape.
        """
        unknown = [name for name in inputs if name not in self._inputs]
        if unknown:
            raise ArgumentError(
                f"the network in {self.model_save_dir} has no input {shown(unknown[0])}; it has "
                f"{listed(self._inputs)}, so it is not what its folder says"
            )
        given = {
            name: one.detach().cpu().numpy().astype(NUMPY_TYPES[self._inputs[name].type])
            for name, one in inputs.items()
        }
        try:
            return [torch.from_numpy(one) for one in self.model.run(None, given)]
        except Exception as error:
            shapes = listed(f"{name} {one.shape}" for name, one in given.items())
            raise ArgumentError(
                f"ONNX Runtime can't run the network in {self.model_save_dir} with {shapes} "
                f"({error_summary(error)})"
            ) from error

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        return {one.name: one for one in self.model.get_inputs()}

    def size_of(self, name: str, axis: int) -> int | None:
        """Return the size of an input along an axis; None if it may have several, or is absent."""
        shape = self._inputs[name].shape if name in self._inputs else ()
        size = shape[axis] if -len(shape) <= axis < len(shape) else None
        return size if isinstance(size, int) else None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its first floating-point output."""
        for one in self.model.get_outputs():
            kind = np.dtype(NUMPY_TYPES.get(one.type, np.int64))
            if kind.kind == "f":
                return torch.from_numpy(np.zeros(0, kind)).dtype
        return torch.float32

    # Loading and saving

    @staticmethod
    def load_model(
        path: str | Path,
        provider: Any = None,
        sess_options: onnxruntime.SessionOptions | None = None,
        provider_options: Any = None,
    ) -> onnxruntime.InferenceSession:
        """Return the session for an ONNX file, after checking what it refers to.

        Args:
            path: the file.
            provider: the execution provider of ONNX Runtime, by default that of the CPU.
            sess_options: the settings of the session. By default it has as many threads as torch.
            provider_options: the options of the provider.

        Raises:
            CheckpointError: if the file is absent, or not an ONNX model that the runtime can run.
            UnsafeCheckpointError: if it refers to files elsewhere, or to operators of others.
        """
        check_model(Path(path))
        several = isinstance(provider_options, list) or not provider_options
        return open_session(
            str(path),
            sess_options,
            providers=[provider or "CPUExecutionProvider"],
            provider_options=(provider_options if several else [provider_options]) or None,
        )

    @classmethod
    def from_pretrained(
        cls: type[_Self],
        model_id: str | Path,
        force_download: bool = False,
        token: bool | str | None = None,
        cache_dir: str | None = None,
        *,
        revision: str | None = None,
        file_name: str | None = None,
        subfolder: str | None = None,
        local_files_only: bool = False,
        provider: Any = None,
        sess_options: onnxruntime.SessionOptions | None = None,
        provider_options: Any = None,
    ) -> _Self:
        """Load a network from a folder, or from a repository of the Hub.

        Args:
            model_id: the folder, or the repository, as `OWNER/NAME` or `OWNER/NAME@REVISION`.
            force_download, token, cache_dir, revision, local_files_only: for repositories.
            file_name: the name of its file, by default `model.onnx`.
            subfolder: the folder inside it, such as `"unet"`.
            provider, sess_options, provider_options: see `load_model`.

        Raises:
            CheckpointError, UnsafeCheckpointError: as for `load_model`.
        """
        from autopipe.checkpoint.address import open_source
        from autopipe.checkpoint.names import parts_of
        from autopipe.checkpoint.options import LoadOptions
        from autopipe.checkpoint.plan import files_of
        from autopipe.registry import default_registry

        path, _, after = str(model_id).partition("@")
        if not os.path.isdir(model_id) and after and revision is None:
            model_id, revision = path, after
        options = LoadOptions(
            force_download=force_download,
            token=token,
            cache_dir=cache_dir,
            revision=revision,
            local_files_only=local_files_only,
        )
        source = open_source(model_id, options.hub, default_registry())
        with source.unchanged():
            folder = parts_of(subfolder)
            files = files_of(cls, source, folder, options)
            source.fetch(file.path for file in files.files)
            name = file_name or MODEL
            place = source.root.joinpath(*folder)
            source.inside("/".join((*folder, name)))
            model = cls.load_model(place / name, provider, sess_options, provider_options)
        return cls(model, model_save_dir=place, latest_model_name=name)

    def reopen(self, **session: Any) -> None:
        """Open its file again with other settings; see `load_model`.

        Raises:
            CheckpointError, UnsafeCheckpointError: as for `load_model`.
        """
        self.model = self.load_model(self._file, **session)

    @property
    def _file(self) -> Path:
        if self.model_save_dir is None:
            raise CheckpointError(
                "this network was made from a session, so its files are not known; load it with "
                "from_pretrained, or give model_save_dir="
            )
        return self.model_save_dir / self.latest_model_name

    def save_pretrained(self, save_directory: str | Path, file_name: str | None = None) -> None:
        """Copy its files into a folder.

        Args:
            save_directory: the folder, created if absent.
            file_name: the name of its file there, by default `model.onnx`.

        Raises:
            CheckpointError: if its files are not known, or can't be copied.
        """
        source = self._file
        target = Path(save_directory)
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name in check_model(source):
                _copy(source.with_name(name), target / name)
            if source.with_name(CONFIG).is_file():
                _copy(source.with_name(CONFIG), target / CONFIG)
            _copy(source, target / (file_name or MODEL))
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{target} can't be written ({error})") from error


def _copy(source: Path, target: Path) -> None:
    if not (target.exists() and os.path.samefile(source, target)):
        shutil.copyfile(source, target)
