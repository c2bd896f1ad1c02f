"""A Hub, or what stands in its place, that answers anything: typed errors, and no endless waits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from support.hub_server import HubServer

from autopipe.checkpoint.hub.cache import entries_of
from autopipe.checkpoint.hub.patience import LongWaitError
from autopipe.errors import AutopipeError, CheckpointError

from .conftest import TinyNet, TinyPipeline

ABSENT = object()
VALUES: dict[str, Any] = {
    "nothing": None, "absent": ABSENT, "true": True, "negative": -1, "huge": 2**70,
    "text": "x", "odd": "\x1b]0;\u202e\ud83d", "list": [7], "out": "../../x",
}  # fmt: skip

INFO = [(), ("sha",), ("siblings",), ("id",), ("tags",), ("siblings", 0), *(
    ("siblings", 0, *field)
    for field in [("rfilename",), ("size",), ("blobId",), ("lfs",), ("lfs", "size"),
                  ("lfs", "sha256"), ("lfs", "pointerSize")]
)]  # fmt: skip
TREE = [(), (0,), *(
    (0, *field) for field in [("path",), ("type",), ("size",), ("oid",), ("lfs",), ("lfs", "oid"),
                              ("lfs", "size")]
)]  # fmt: skip
WEIGHTS = "diffusion_pytorch_model.safetensors"


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return {} if value is ABSENT else value
    here = content.setdefault(path[0], {}) if isinstance(content, dict) else content[path[0]]
    if len(path) > 1:
        changed(here, path[1:], value)
    elif value is ABSENT:
        del content[path[0]]
    else:
        content[path[0]] = value
    return content


def lie(path: tuple[Any, ...], value: Any) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        content = json.loads(body)
        entries = content["siblings"] if isinstance(content, dict) else content
        # The weights come first: they have every field.
        entries.sort(key=lambda entry: "lfs" not in entry)
        return json.dumps(changed(content, path, value)).encode()

    return change


@pytest.fixture
def network(hub_server: HubServer, net_folder: Path) -> HubServer:
    hub_server.add("owner/net", net_folder)
    return hub_server


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        *(("GET /api/models/owner/net$", path) for path in INFO),
        *(("GET .*/tree/", p) for p in TREE),
    ],
    ids=str,
)
def test_every_field_of_every_answer(
    network: HubServer, request_: str, path: tuple[Any, ...]
) -> None:
    said: list[str] = []
    for value in VALUES.values():
        shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)
        network.faults.clear()
        network.fault(request_, times=1000, content=lie(path, value))
        try:
            assert isinstance(TinyNet.from_pretrained("owner/net"), TinyNet)
        except AutopipeError as error:
            said.append(str(error))
    assert all(len(one) < 1000 and "\x1b" not in one for one in said)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[" * 100_000, b"<html>", b'{"sha":' + b"9" * 9999]
)
def test_what_is_no_json(network: HubServer, body: bytes) -> None:
    for request_ in ("GET /api/models/owner/net$", "GET .*/tree/"):
        network.faults.clear()
        network.fault(request_, times=1000, content=lambda content: body)
        with pytest.raises(CheckpointError, match="owner/net"):
            TinyNet.from_pretrained("owner/net")


@pytest.mark.parametrize("siblings", [None, 7, "x", {"a": 1}, [{"rfilename": 7}], [None], [[]]])
def test_what_the_client_makes_of_it(
    siblings: Any, monkeypatch: pytest.MonkeyPatch, hub_server: HubServer
) -> None:
    for info in (
        SimpleNamespace(sha="a" * 40, siblings=siblings),
        SimpleNamespace(sha=7, siblings=siblings),
        SimpleNamespace(),
        None,
        "x",
    ):
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, info=info, **k: info)
        with pytest.raises(CheckpointError, match="o/n"):
            TinyPipeline.from_pretrained("o/n")


def test_entries_have_what_can_be_used() -> None:
    def entry(**fields: Any) -> Any:
        (found,) = entries_of([SimpleNamespace(**{"rfilename": "x", **fields})]).values()
        return found.size, found.digest

    lfs = SimpleNamespace(size=5, sha256="b" * 64)
    assert entry(size=3, blob_id="a" * 40) == (3, "a" * 40)
    assert entry(size=3, blob_id="a" * 40, lfs=lfs) == (5, "b" * 64)
    for value in (None, True, -1, "3", 2**63, 1.5, [3]):
        assert entry(size=value) == (-1, None)
        assert entry(lfs=SimpleNamespace(size=value, sha256=value)) == (-1, None)
    for value in ("a" * 39, "g" * 40, "A" * 40, b"a" * 40, "a" * 40 + "\n"):
        assert entry(blob_id=value) == (-1, None)
    for name in (None, 7, "", "../x", "/x", "a//b", "a\0", "x" * 300, ["x"]):
        assert entries_of([SimpleNamespace(rfilename=name)]) == {}


# The cache


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"../../x", b"a\0b", b"x" * 10**6, b"\n\n"])
@pytest.mark.parametrize("online", [True, False])
def test_a_note_of_odd_bytes_counts_as_none(
    network: HubServer, content: bytes, online: bool
) -> None:
    TinyNet.from_pretrained("owner/net")
    note = Path(constants.HF_HUB_CACHE) / "models--owner--net" / "refs" / "main"
    assert note.is_file()
    note.write_bytes(content)
    if online:
        assert isinstance(TinyNet.from_pretrained("owner/net"), TinyNet)
    else:
        with pytest.raises(CheckpointError, match=r"owner/net.*autopipe download"):
            TinyNet.from_pretrained("owner/net", local_files_only=True)


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[7]", b'{"entries": 7}', b"\xff", "pipe", "folder"]
)
def test_a_listing_in_the_cache_that_can_not_be_read(network: HubServer, content: Any) -> None:
    TinyNet.from_pretrained("owner/net")
    (listing,) = Path(constants.HF_HUB_CACHE).glob("models--owner--net/trees/*.json")
    listing.unlink()
    if content == "pipe":
        os.mkfifo(listing)
    elif content == "folder":
        listing.mkdir()
    else:
        listing.write_bytes(content)
    assert isinstance(TinyNet.from_pretrained("owner/net", local_files_only=True), TinyNet)


# Waiting


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "headers", [{"Retry-After": "86400"}, {"ratelimit": '"api";r=0;t=86400'}], ids=["after", "rate"]
)
@pytest.mark.parametrize(
    "request_", ["GET /large/", "HEAD .*/resolve/", "GET .*/tree/", "GET /api/models/owner/net$"]
)
def test_a_wait_of_a_day_is_refused(
    network: HubServer, request_: str, status: int, headers: dict[str, str]
) -> None:
    network.fault(request_, times=1000, status=status, headers=headers)
    with pytest.raises(CheckpointError, match=r"asking to wait for 86400 seconds"):
        TinyNet.from_pretrained("owner/net")
    # Not again and again.
    assert network.faults[0].times >= 990
    if "/api/" in request_:
        network.faults.clear()
        TinyNet.from_pretrained("owner/net")
        network.fault(request_, times=1000, status=status, headers=headers)
        assert isinstance(TinyNet.from_pretrained("owner/net"), TinyNet)


@pytest.mark.parametrize("value", ["3", "0", "", "soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_short_wait_is_waited_for(network: HubServer, value: str) -> None:
    network.fault("GET /large/", status=429, headers={"Retry-After": value})
    assert isinstance(TinyNet.from_pretrained("owner/net"), TinyNet)


def test_the_client_is_left_as_it_was(network: HubServer) -> None:
    TinyNet.from_pretrained("owner/net")
    hooks = huggingface_hub.get_session().event_hooks["response"]
    assert not [hook for hook in hooks if "autopipe" in hook.__module__]
    assert issubclass(LongWaitError, OSError)


INTERRUPTED = """
import signal, sys
# A program that a shell started in the background ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
from autopipe.checkpoint.hub.opening import open_repository
from autopipe.checkpoint.source import HubOptions
source = open_repository("owner/net", HubOptions())
try:
    source.fetch(list(source.entries))
except KeyboardInterrupt:
    print("interrupted")
    raise
"""


@pytest.mark.parametrize("request_", ["GET /large/", "GET .*/resolve/", "GET .*/tree/"])
def test_ctrl_c_ends_a_download_that_takes_for_ever(
    network: HubServer, request_: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": network.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DOWNLOAD_TIMEOUT": "600",
        "HF_HUB_ETAG_TIMEOUT": "600",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def slow() -> None:
        process.send_signal(signal.SIGINT)
        time.sleep(120)

    network.fault(request_, times=3, then=slow)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "interrupted\n", err
    assert process.returncode in (1, 130, -signal.SIGINT)
    assert "KeyboardInterrupt" in err
