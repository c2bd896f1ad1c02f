"""The Ray cluster that a batch runs on: the one that the environment names, or one of its own."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import ray
import ray.data

from autopipe.errors import ArgumentError, AutopipeError
from autopipe.wording import error_summary, logger, shown

ADDRESS = "RAY_ADDRESS"
"""The environment variable with the address of a cluster, as Ray itself has it."""

_STORE = 100 * 2**20
"""The size of the object store in bytes: requests and outcomes are small, pictures are files."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings of a cluster of our own, where the user has set nothing else."""


@contextmanager
def cluster(workers: int | None, threads: int, devices: int, gpu: bool) -> Iterator[int]:
    """Connect to a cluster, or start one on this machine that ends afterwards.

    Args:
        workers: the number of workers that is wanted; None for as many as there is room for.
        threads: the number of processors that each of them has.
        devices: the number of devices of this machine.
        gpu: whether each worker has a GPU.

    Yields:
        The number of workers.

    Raises:
        AutopipeError: if no cluster answers.
        ArgumentError: if it has no room for the workers.
    """
    if ray.is_initialized():
        yield _fitting(workers, threads, gpu)
        return
    address = os.environ.get(ADDRESS)
    room: dict[str, Any] = {}
    if not address:
        workers = workers or devices
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        room = {
            "num_cpus": workers * threads,
            "object_store_memory": _STORE,
            "include_dashboard": False,
        }
    with _silent():
        try:
            if address:
                _reach(address)
            with _own_signal():
                ray.init(
                    address or "local", log_to_driver=False, logging_level=logging.ERROR, **room
                )
        except Exception as error:
            raise AutopipeError(_not_there(address, error)) from error
        try:
            yield _fitting(workers, threads, gpu)
        finally:
            ray.shutdown()


@contextmanager
def _own_signal() -> Iterator[None]:
    """Keep what the program does on SIGTERM, where Ray would end it at once."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _reach(address: str) -> None:
    """Raise `OSError` if nobody listens at the address, for which Ray would need minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray prints about dead workers out of the output; Ray's log files have it."""
    for name in ("ray", "ray.data"):
        logger(name).setLevel(logging.ERROR)
    with patch.object(ray._private.worker, "print_to_stdstream", create=True):
        yield


def _not_there(address: str | None, error: Exception) -> str:
    if address:
        return (
            f"no Ray cluster answers at {shown(address)}, which {ADDRESS} names "
            f"({error_summary(error)}); start one as Ray's documentation says, or unset "
            f"{ADDRESS} to draw on this machine"
        )
    return (
        f"Ray didn't start on this machine ({error_summary(error)}); without Ray, draw with the "
        f"runner local"
    )


def _fitting(workers: int | None, threads: int, gpu: bool) -> int:
    """Return the number of workers on the cluster that Ray is connected to."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        int(min(has.get("CPU", 0) // threads, has.get("GPU", 0) if gpu else float("inf")))
        for has in nodes
    )
    if room < (workers or 1):
        asked = f"{workers} workers" if workers else "workers"
        raise ArgumentError(
            f"{asked} with {threads} threads{' and a GPU' if gpu else ''} each were asked for, and "
            f"the Ray cluster has room for {room}; ask for fewer of both, or add machines to it"
        )
    return workers or room
