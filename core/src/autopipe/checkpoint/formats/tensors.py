"""Reads the tensors of weight files by mapping them into memory, or one by one.

A file on a local disk is mapped: unless tensors are cast, nothing is copied, and pages are read on
first use. Over a network, page faults are many times slower than sequential reading, so files are
read. Tensors are cast one by one, and the pages of the mapped file are released after each, so that
the peak memory is that of the weights plus the largest tensor.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from ...errors import DamagedFileError, UnsupportedCheckpointError
from ...regular import opened
from ...wording import cut, logger
from .headers import Header, TensorInfo, check_content, reading
from .kinds import EMBEDDING
from .pickles import check_pickle, refused

_log = logger(__name__)

TORCH_DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "U16": torch.uint16, "U32": torch.uint32,
    "U64": torch.uint64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
    "F64": torch.float64, "C64": torch.complex64, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip

NAMES_OF_DTYPES: Mapping[torch.dtype, str] = {dtype: name for name, dtype in TORCH_DTYPES.items()}

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "lustre", "glusterfs", "beegfs", "gpfs",
     "afs", "virtiofs"}
)  # fmt: skip

_MOST_TIMES = 8
"""Upper bound on unpacked size as a multiple of a pickle's file size; some tensors share memory."""

_MOST_ENTRIES = 1 << 20
"""The most entries of nested content; the largest files have some thousand."""

Target = Callable[[str, torch.dtype], torch.dtype]
"""A function from a tensor's name and its dtype in the file to the requested dtype."""


def read_safetensors(
    files: Mapping[Path, Header],
    target: Target,
    disable_mmap: bool | None = None,
    open_file: Callable[[Path], BinaryIO] = opened,
) -> dict[str, Tensor]:
    """Read all tensors of safetensors files, in the dtypes that `target` returns.

    Args:
        files: the files, each with its header.
        open_file: the function that opens a file.

    Raises:
        CheckpointError: if a file can't be read, or there is not enough memory.
        DamagedFileError: if a file changed since its header was read.
    """
    found: dict[str, Tensor] = {}
    for file, header in files.items():
        dtypes = {name: TORCH_DTYPES[info.dtype] for name, info in header.tensors.items()}
        casts = any(target(name, dtype) != dtype for name, dtype in dtypes.items())
        # Old writers didn't always align every tensor to its dtype.
        aligned = all(header.tensors[n].offset % t.itemsize == 0 for n, t in dtypes.items())
        # On Windows a mapped file can't be replaced by a later save.
        better_read = sys.platform == "win32" or _on_network(file)
        is_read = not aligned or (better_read if disable_mmap is None else disable_mmap)
        with reading(file), open_file(file) as stream:
            if os.fstat(stream.fileno()).st_size != header.size:
                raise DamagedFileError(f"{file} changed while it was loaded; load it again")
            pages = None if is_read else _map(file, stream, header.size, casts)
            if isinstance(pages, torch.UntypedStorage):
                found.update(_mapped(pages, header))
            elif pages is not None:
                found.update(_mapped_and_cast(pages, header, target))
            else:
                found.update(_read(file, stream, header, target))
        for name in (name for name, info in header.tensors.items() if info.transposed):
            found[name] = found[name].t().contiguous()
        for name in (name for name, info in header.tensors.items() if info.swapped):
            found[name] = found[name].roll(len(found[name]) // 2, dims=0)
    return found


def read_pickled(
    files: Iterable[Path], target: Target, open_file: Callable[[Path], BinaryIO] = opened
) -> dict[str, Tensor]:
    """Read all tensors of `.bin` files with the restricted loader, which runs no code.

    Args:
        open_file: the function that opens a file.

    Raises:
        UnsafeCheckpointError: if a file contains anything other than tensors.
        DamagedFileError: if a file is truncated, empty or a Git LFS pointer.
    """
    found: dict[str, Tensor] = {}
    for file in files:
        with reading(file), open_file(file) as stream:
            state, _ = unpickled(file, stream)
            while state:
                name, tensor = state.popitem()
                found[name] = tensor.to(target(name, tensor.dtype))
    return found


def _map(
    file: Path, stream: BinaryIO, size: int, casts: bool
) -> torch.UntypedStorage | mmap.mmap | None:
    """Map a file, to keep the tensors or to cast them; None if it can only be read."""
    try:
        if casts:
            return mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY)
        name = _place(file, stream)
        return cast(
            torch.UntypedStorage, torch.UntypedStorage.from_file(name, shared=False, nbytes=size)
        )
    except (OSError, ValueError, RuntimeError) as error:
        # The file system can't map, the address space is limited, or the file was just truncated.
        _log.info("%s can't be mapped (%s), so it is read", file, error)
        return None


def _place(file: Path, stream: BinaryIO) -> str:
    """Return a path of the open file, even if another file has taken its name.

    torch can map only by path.
    """
    return f"/proc/self/fd/{stream.fileno()}" if sys.platform.startswith("linux") else str(file)


def _mapped(storage: torch.UntypedStorage, header: Header) -> Iterable[tuple[str, Tensor]]:
    for name, info in header.tensors.items():
        tensor = torch.empty(0, dtype=TORCH_DTYPES[info.dtype], device="cpu")
        # Each tensor has its own storage over the same pages: copying or saving one must not
        # include the whole file.
        part = storage[info.offset : info.offset + info.size]
        tensor.set_(part, 0, info.shape)  # type: ignore[call-overload]
        yield name, tensor


def _mapped_and_cast(
    pages: mmap.mmap, header: Header, target: Target
) -> Iterable[tuple[str, Tensor]]:
    done = 0
    for name, info in header.tensors.items():
        # A copy, which doesn't refer to the file.
        tensor = _view(pages, info.offset, info)
        yield name, tensor.to(target(name, tensor.dtype), copy=True)
        end = (info.offset + info.size) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > done and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED, done, end - done)
            done = end


def _read(
    file: Path, stream: BinaryIO, header: Header, target: Target
) -> Iterable[tuple[str, Tensor]]:
    for name, info in header.tensors.items():
        # The tensor keeps this memory unless it is cast.
        content = bytearray(info.size)
        stream.seek(info.offset)
        if cast(io.BufferedIOBase, stream).readinto(content) != info.size:
            raise DamagedFileError(f"{file} changed while it was loaded; load it again")
        tensor = _view(content, 0, info)
        yield name, tensor.to(target(name, tensor.dtype))


def _view(content: bytearray | mmap.mmap, offset: int, info: TensorInfo) -> Tensor:
    """Return the tensor whose bytes are in `content` at `offset`."""
    dtype = TORCH_DTYPES[info.dtype]
    if not info.size:
        return torch.empty(info.shape, dtype=dtype)
    count = info.size // dtype.itemsize
    return torch.frombuffer(content, dtype=dtype, count=count, offset=offset).view(info.shape)


def _on_network(file: Path) -> bool:
    """Whether `file` is on a network file system; always False on other systems than Linux."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    fields = [line.split(" ", 3) for line in mounts.splitlines()]
    kinds = {Path(point.replace("\\040", " ")): kind for _, point, kind, _ in fields}
    real = file.resolve()
    kind = next((kinds[above] for above in (real, *real.parents) if above in kinds), "")
    return kind in _NETWORK or (kind.startswith("fuse.") and kind != "fuse.fuse-overlayfs")


def read_content(file: Path, open_file: Callable[[Path], BinaryIO] = opened) -> dict[Any, Any]:
    """Read a pickle of nested dicts and lists of tensors, numbers and texts, without running code.

    A pickle of a single tensor gives a dict with the tensor under an empty name.

    Args:
        open_file: the function that opens the file.

    Raises:
        UnsafeCheckpointError, DamagedFileError: as for `read_pickled`.
    """
    with reading(file), open_file(file) as stream:
        content = _loaded(file, stream)
        size = os.fstat(stream.fileno()).st_size
    if isinstance(content, Tensor):
        content = {"": content}
    tensors: list[Tensor] = []
    todo, seen = [content], 0
    while todo:
        one = todo.pop()
        seen += 1
        if isinstance(one, Tensor):
            tensors.append(one)
        elif isinstance(one, (dict, list, tuple)):
            todo += one.values() if isinstance(one, dict) else one
        if seen > _MOST_ENTRIES:
            raise DamagedFileError(f"{file} has more than {_MOST_ENTRIES:,} entries")
    if not isinstance(content, dict) or not all(map(_is_plain, tensors)):
        raise DamagedFileError(f"{file} doesn't contain a dict of plain tensors")
    _check_size(file, size, tensors)
    return content


def unpickled(file: Path, stream: BinaryIO) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the tensors of a pickle, and the numbers that it has beside its state dict.

    Args:
        stream: the file, open for reading.

    Raises:
        UnsafeCheckpointError: if it contains anything other than tensors and plain values.
        DamagedFileError: if it is truncated, empty or a Git LFS pointer, or has no state dict.
        UnsupportedCheckpointError: if it is an embedding of textual inversion.
    """
    state = _loaded(file, stream)
    numbers: dict[str, float] = {}
    while isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        numbers |= {n: one for n, one in state.items() if isinstance(one, (int, float))}
        state = state["state_dict"]
    if isinstance(state, dict) and "string_to_param" in state:
        raise UnsupportedCheckpointError(f"{file} {EMBEDDING}")
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) and _is_plain(tensor)
        for name, tensor in state.items()
    ):
        raise DamagedFileError(
            f"{file} doesn't contain a state dict of plain tensors; fetch this file again"
        )
    _check_size(file, os.fstat(stream.fileno()).st_size, state.values())
    return state, numbers


def _loaded(file: Path, stream: BinaryIO) -> Any:
    """Return what the restricted loader makes of a pickle."""
    size, start = os.fstat(stream.fileno()).st_size, stream.read(64)
    check_content(file, start, size)
    names = check_pickle(file, stream)
    place = _place(file, stream)
    try:
        # Files written before PyTorch 1.6 are not archives and can't be mapped.
        return torch.load(place, map_location="cpu", weights_only=True, mmap=start[:2] == b"PK")
    except pickle.UnpicklingError as error:
        raise refused(file, names) from error
    except Exception as error:
        reason = cut(str(error).replace(place, str(file)), 200)
        raise DamagedFileError(f"{file} is damaged ({reason}); fetch this file again") from error


def _is_plain(tensor: Tensor) -> bool:
    is_here = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return is_here and not tensor.is_quantized


def _check_size(file: Path, size: int, tensors: Iterable[Tensor]) -> None:
    needed = sum(tensor.nbytes for tensor in tensors)
    if needed > _MOST_TIMES * size:
        raise DamagedFileError(
            f"{file} has {size:,} bytes, but its tensors claim {needed:,}; fetch this file again"
        )
