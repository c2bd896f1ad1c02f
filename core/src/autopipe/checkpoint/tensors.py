"""Reading the tensors of weight files: mapped, or read and cast one by one.

A file on a local disk is mapped: where nothing is cast, nothing is copied, and pages are read on
first use. Over a network, page faults are many times slower than reading from start to end, so
files there are read. Casting goes tensor by tensor, and the pages of the mapped original are
given back after each, so that the peak is the weights once and the largest tensor.
"""

from __future__ import annotations

import mmap
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError, DamagedFileError, UnsafeCheckpointError
from .headers import Header, TensorInfo, check_content

TORCH_DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "U16": torch.uint16, "U32": torch.uint32,
    "U64": torch.uint64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
    "F64": torch.float64, "C64": torch.complex64, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "lustre", "glusterfs", "beegfs", "gpfs",
     "afs", "virtiofs"}
)  # fmt: skip

_MOST_TIMES = 8
"""How often over the tensors of a pickle may have the bytes of its file, since some share them."""

Target = Callable[[str, torch.dtype], torch.dtype]
"""From a tensor's name and its dtype in the file to the dtype wanted."""


def read_safetensors(
    files: Mapping[Path, Header], target: Target, disable_mmap: bool | None = None
) -> dict[str, Tensor]:
    """All tensors of some safetensors files, in the dtypes that `target` wants.

    Args:
        files: each with its header.

    Raises:
        CheckpointError: a file can't be read.
        DamagedFileError: a file is no longer as its header says.
    """
    found: dict[str, Tensor] = {}
    for file, header in files.items():
        names = sorted(header.tensors, key=lambda name: header.tensors[name].offset)
        dtypes = {name: TORCH_DTYPES[header.tensors[name].dtype] for name in names}
        casts = any(target(name, dtype) != dtype for name, dtype in dtypes.items())
        # Files of old writers don't always have every tensor where its type may start.
        aligned = all(header.tensors[n].offset % dtypes[n].itemsize == 0 for n in names)
        # On Windows a mapped file can't be replaced by a later save.
        better_read = sys.platform == "win32" or _on_network(file)
        try:
            if file.stat().st_size != header.size:
                raise DamagedFileError(f"{file} changed while it was loaded; load it again")
            if not aligned or (better_read if disable_mmap is None else disable_mmap):
                found.update(_read(file, header, names, target))
            elif casts:
                found.update(_mapped_and_cast(file, header, names, target))
            else:
                found.update(_mapped(file, header))
        except DamagedFileError:
            raise
        except OSError as error:
            raise CheckpointError(f"{file} can't be read: {error}") from error
    return found


def read_pickled(files: Iterable[Path], target: Target) -> dict[str, Tensor]:
    """All tensors of some `.bin` files, through the loader that runs no code.

    Raises:
        UnsafeCheckpointError: a file holds something else than tensors.
        DamagedFileError: a file is truncated, empty or a Git LFS pointer.
    """
    found: dict[str, Tensor] = {}
    for file in files:
        state = _unpickled(file)
        while state:
            name, tensor = state.popitem()
            found[name] = tensor.to(target(name, tensor.dtype))
    return found


def _mapped(file: Path, header: Header) -> Iterable[tuple[str, Tensor]]:
    storage = torch.UntypedStorage.from_file(str(file), shared=False, nbytes=header.size)
    for name, info in header.tensors.items():
        dtype = TORCH_DTYPES[info.dtype]
        tensor = torch.empty(0, dtype=dtype, device="cpu")
        # A storage of its own over the same pages: copying or saving one tensor must not take
        # the whole file along.
        part = storage[info.offset : info.offset + info.size]
        tensor.set_(part, 0, info.shape)  # type: ignore[call-overload]
        yield name, tensor


def _mapped_and_cast(
    file: Path, header: Header, names: list[str], target: Target
) -> Iterable[tuple[str, Tensor]]:
    with file.open("rb") as stream:
        pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    done = 0
    for name in names:
        info = header.tensors[name]
        # A copy, which keeps nothing of the file.
        tensor = _view(pages, info.offset, info)
        yield name, tensor.to(target(name, tensor.dtype), copy=True)
        end = (info.offset + info.size) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > done and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED, done, end - done)
            done = end


def _read(
    file: Path, header: Header, names: list[str], target: Target
) -> Iterable[tuple[str, Tensor]]:
    with file.open("rb", buffering=0) as stream:
        for name in names:
            info = header.tensors[name]
            # Memory of its own, which the tensor keeps unless it is cast.
            content = bytearray(info.size)
            stream.seek(info.offset)
            left = memoryview(content)
            while left:
                count = stream.readinto(left)
                if not count:
                    raise DamagedFileError(f"{file} changed while it was loaded; load it again")
                left = left[count:]
            tensor = _view(content, 0, info)
            yield name, tensor.to(target(name, tensor.dtype))


def _view(content: bytearray | mmap.mmap, offset: int, info: TensorInfo) -> Tensor:
    """The tensor whose bytes `content` holds at `offset`."""
    dtype = TORCH_DTYPES[info.dtype]
    if not info.size:
        return torch.empty(info.shape, dtype=dtype)
    count = info.size // dtype.itemsize
    return torch.frombuffer(content, dtype=dtype, count=count, offset=offset).view(info.shape)


def _on_network(file: Path) -> bool:
    """Whether `file` is on a network file system of Linux; False where that can't be told."""
    if not sys.platform.startswith("linux"):
        return False
    real = str(file.resolve())
    kind, longest = "", -1
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in mounts.splitlines():
        _, point, name, _ = line.split(" ", 3)
        point = point.replace("\\040", " ")
        under = real == point or real.startswith(point.rstrip("/") + "/")
        if under and len(point) >= longest:
            kind, longest = name, len(point)
    return kind in _NETWORK or (kind.startswith("fuse.") and kind != "fuse.fuse-overlayfs")


def _unpickled(file: Path) -> dict[str, Tensor]:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error}") from error
    check_content(file, start, size)
    try:
        # Files of PyTorch before 1.6 are no archives, and can't be mapped.
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=start[:2] == b"PK")
    except pickle.UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"{file} holds more than tensors, so it is not read: unpickling it could run code "
            f"({str(error).splitlines()[0]}). Use a checkpoint with safetensors"
        ) from error
    except Exception as error:
        raise DamagedFileError(f"{file} is damaged ({error}); fetch this file again") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        for name, tensor in state.items()
    ):
        raise DamagedFileError(
            f"{file} holds no state dict of plain tensors; fetch this file again"
        )
    needed = sum(tensor.nbytes for tensor in state.values())
    if needed > _MOST_TIMES * size:
        raise DamagedFileError(
            f"{file} has {size:,} bytes and its tensors claim {needed:,}; fetch this file again"
        )
    return state
