"""A small local Hub for the real client of huggingface_hub, with faults on demand.

It serves public, private and gated repositories by commit: information, trees, and files with etags
and ranges, with a redirect for files of Git LFS as on the real Hub. It accepts uploads, and logs
all requests. `Fault`s change the responses to the requests that they match.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

TOKEN = "hf_of_the_owner"
"""A token with access to private and gated repositories, and with write permission."""

STRANGER = "hf_of_a_stranger"
"""A valid token without these permissions."""

_LARGE = (".safetensors", ".bin", ".ckpt", ".msgpack", ".onnx")


@dataclass(frozen=True)
class Request:
    """A logged request; absent headers are empty strings."""

    method: str
    path: str
    range: str = ""
    authorization: str = ""


@dataclass
class Fault:
    """Changes the responses to the next `times` requests whose `METHOD /path` matches `pattern`.

    One of the other fields says how: `status` (with `headers`), `cut` (the number of bytes of the
    body before the connection closes), `content` (returns the bytes to send instead), or `then`
    (called before a normal response).
    """

    pattern: str
    times: int = 1
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    content: Callable[[bytes], bytes] | None = None
    then: Callable[[], object] | None = None


@dataclass
class Repository:
    """A repository: commits by id, newest last, and refs that name commits."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Mapping[str, bytes], ref: str = "main", message: str = "") -> str:
        """Add a commit of `files`, set `ref` to it, and return its id."""
        seed = json.dumps([sorted((p, digest(p, c)) for p, c in files.items()), len(self.commits)])
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.refs[ref] = sha
        self.messages.append(message)
        return sha

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Return the files of a commit, given by its id or a ref."""
        return self.commits[self.refs.get(revision, revision)]


def is_large(path: str) -> bool:
    """Whether a file is stored in Git LFS."""
    return path.endswith(_LARGE)


def digest(path: str, content: bytes) -> str:
    """Return the etag of a file: its SHA-256 in Git LFS, otherwise the id of its git blob."""
    if is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer:
    """The server. Use it as a context manager, or through the fixture `hub_server`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.gone = False
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        # Killed clients break connections, which is not reported.
        self._http.handle_error = lambda *args: None  # type: ignore[method-assign]
        port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        # Large files come from another host, which must not receive the token.
        self.elsewhere = f"http://localhost:{port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.down()

    def down(self) -> None:
        """Simulate a network failure: stop listening and break all connections."""
        self.gone = True
        self._http.shutdown()
        self._http.server_close()

    def add(self, name: str, folder: Path | Mapping[str, bytes], **kind: Any) -> str:
        """Create a repository with the files in `folder`, and return its commit."""
        self.repositories[name] = Repository(**kind)
        return self.repositories[name].commit(contents(folder))

    def fault(self, pattern: str, **how: Any) -> None:
        """Add a fault; see `Fault`."""
        self.faults.append(Fault(pattern, **how))

    def matching(self, request: str) -> Fault | None:
        """Return the fault for a request and count it as used, or None."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None

    def fetched(self) -> list[str]:
        """Return the sorted paths of the files whose content was sent."""
        small = [r.path for r in self.requests if r.method == "GET" and "/resolve/" in r.path]
        paths = [path.split("/resolve/")[1].partition("/")[2] for path in small]
        files = {
            p: c
            for r in self.repositories.values()
            for f in r.commits.values()
            for p, c in f.items()
        }
        large = {f"/large/{digest(p, c)}": p for p, c in files.items() if is_large(p)}
        return sorted(
            [path for path in paths if not is_large(path)]
            + [large[r.path] for r in self.requests if r.method == "GET" and r.path in large]
        )

    def sent(self, path: str) -> list[Request]:
        """Return the requests for the content of the large file `path`."""
        files = [repo.files() for repo in self.repositories.values()]
        ids = {f"/large/{digest(path, held[path])}" for held in files if path in held}
        return [r for r in self.requests if r.method == "GET" and r.path in ids]


def contents(folder: Path | Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files in a folder by path, with forward slashes."""
    if not isinstance(folder, Path):
        return dict(folder)
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        hub = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    do_GET = do_POST = do_PUT = do_HEAD

    def _answer(self) -> None:
        self.close_connection = self.hub.gone
        if self.hub.gone:
            return None
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.query = parse_qs(split.query)
        self.raw_path = split.path
        self.body = self._read()
        headers = (self.headers.get(name, "") for name in ("Range", "Authorization"))
        told = Request(self.command, path, *headers)
        with self.hub.lock:
            self.hub.requests.append(told)
        self.fault = self.hub.matching(f"{self.command} {path}")
        if self.fault and self.fault.then:
            self.fault.then()
        if self.fault and self.fault.status:
            return self._send(self.fault.status, b"{}", dict(self.fault.headers))
        routes: tuple[tuple[str, Callable[..., None]], ...] = (
            (r"/api/models/(.+?)/tree/([^/]+)", self._tree),
            (r"/api/models/(.+?)/preupload/([^/]+)", self._preupload),
            (r"/api/models/(.+?)/commit/([^/]+)", self._commit),
            (r"/api/models/(.+?)/revision/([^/]+)", self._info),
            (r"/api/models/([^/]+(?:/[^/]+)?)", self._info),
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", lambda: self._json({"errors": [], "warnings": []})),
            (r"/(.+)\.git/info/lfs/objects/batch", self._batch),
            (r"/large/([0-9a-f]{64})", self._large),
            (r"/(.+?)/resolve/([^/]+)/(.+)", self._resolve),
        )
        for pattern, answer in routes:
            if match := re.fullmatch(pattern, self.raw_path):
                return answer(*map(unquote, match.groups()))
        self._send(404, b"{}")

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # Permissions

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _repository(self, name: str, revision: str = "main") -> tuple[Repository, str] | None:
        """Return the repository and the commit, or send an error and return None."""
        repo = self.hub.repositories.get(name)
        token = self._token()
        if token not in (None, TOKEN, STRANGER):
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return self._refuse(401, headers)
        if repo is None or (repo.private and token != TOKEN):
            return self._refuse(401 if token is None else 404, {"X-Error-Code": "RepoNotFound"})
        if repo.gated and token != TOKEN and "/resolve/" in self.path:
            return self._refuse(401 if token is None else 403, {"X-Error-Code": "GatedRepo"})
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            return self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
        return repo, commit

    def _refuse(self, status: int, headers: Mapping[str, str]) -> None:
        self._send(status, b'{"error": "refused"}', headers)

    # Reading

    def _info(self, name: str, revision: str = "main") -> None:
        if found := self._repository(name, revision):
            repo, commit = found
            siblings = [
                {"rfilename": p, "size": len(c), "blobId": "0" * 40, **_lfs(p, c, "sha256")}
                if is_large(p)
                else {"rfilename": p, "size": len(c), "blobId": digest(p, c)}
                for p, c in repo.commits[commit].items()
            ]
            self._json(
                {"_id": "0", "id": name, "modelId": name, "sha": commit, "private": repo.private,
                 "gated": repo.gated, "tags": [], "downloads": 0, "likes": 0,
                 "siblings": siblings}
            )  # fmt: skip

    def _tree(self, name: str, revision: str) -> None:
        if found := self._repository(name, revision):
            repo, commit = found
            self._json(
                [
                    {"type": "file", "path": p, "size": len(c),
                     "oid": "0" * 40 if is_large(p) else digest(p, c),
                     **(_lfs(p, c, "oid") if is_large(p) else {})}
                    for p, c in repo.commits[commit].items()
                ]
            )  # fmt: skip

    def _resolve(self, name: str, revision: str, path: str) -> None:
        found = self._repository(name, revision)
        if not found:
            return
        repo, commit = found
        headers = {"X-Repo-Commit": commit}
        content = repo.commits[commit].get(path)
        if content is None:
            return self._refuse(404, {**headers, "X-Error-Code": "EntryNotFound"})
        etag = digest(path, content)
        if not is_large(path):
            return self._content(content, {**headers, "ETag": f'"{etag}"'})
        self.hub.large[etag] = content
        linked = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        location = {"Location": f"{self.hub.elsewhere}/large/{etag}"}
        self._send(302, b"", {**headers, **linked, **location})

    def _large(self, oid: str) -> None:
        if self.command == "PUT":
            self.hub.large[oid] = self.body
            return self._send(200, b"")
        self._content(self.hub.large[oid], {"ETag": f'"{oid}"'})

    def _content(self, content: bytes, headers: Mapping[str, str]) -> None:
        if self.fault and self.fault.content and self.command == "GET":
            content = self.fault.content(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._send(200, content, headers)
        start, stop = int(wanted[1]), int(wanted[2] or len(content) - 1)
        part = content[start : stop + 1]
        if not part:
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        where = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._send(206, part, {**headers, "Content-Range": where})

    # Writing

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
        if self._token() != TOKEN:
            return self._send(401, b'{"error": "log in"}')
        if name in self.hub.repositories:
            return self._send(409, json.dumps({"url": f"{self.hub.url}/{name}"}).encode())
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.add(name, {".gitattributes": b""}, private=private)
        self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _preupload(self, name: str, revision: str) -> None:
        if self._writable(name):
            files = [
                {"path": f["path"], "uploadMode": "lfs" if is_large(f["path"]) else "regular",
                 "shouldIgnore": False}
                for f in json.loads(self.body)["files"]
            ]  # fmt: skip
            self._json({"files": files})

    def _batch(self, name: str) -> None:
        if self._writable(name):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.url}/large/{one['oid']}"}}}
                for one in json.loads(self.body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, revision: str) -> None:
        if not self._writable(name):
            return
        repo = self.hub.repositories[name]
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        files = dict(repo.files(revision))
        for value in (line["value"] for line in lines if line["key"] == "file"):
            files[value["path"]] = base64.b64decode(value["content"])
        for value in (line["value"] for line in lines if line["key"] == "lfsFile"):
            content = self.hub.large[value["oid"]]
            assert hashlib.sha256(content).hexdigest() == value["oid"]
            files[value["path"]] = content
        for value in (line["value"] for line in lines if line["key"] == "deletedFile"):
            files.pop(value["path"], None)
        pull = f"refs/pr/{len(repo.refs)}" if "create_pr" in self.query else None
        message = next(line["value"]["summary"] for line in lines if line["key"] == "header")
        sha = repo.commit(files, pull or revision, message)
        told = {"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha}
        if pull:
            told["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{pull.split('/')[-1]}"
        self._json({**told, "success": True})

    def _writable(self, name: str) -> bool:
        if name not in self.hub.repositories or self._token() not in (TOKEN, STRANGER):
            self._refuse(401, {"X-Error-Code": "RepoNotFound"})
            return False
        if self._token() == STRANGER:
            self._refuse(403, {"X-Error-Message": "you have no right to write"})
            return False
        return True

    # Responses

    def _json(self, content: Any) -> None:
        body = json.dumps(content).encode()
        if self.fault and self.fault.content:
            body = self.fault.content(body)
        self._send(200, body, {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        fault = self.fault
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.cut is not None and len(body) > fault.cut:
            self.wfile.write(body[: fault.cut])
            self.wfile.flush()
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)


def _lfs(path: str, content: bytes, key: str) -> dict[str, Any]:
    return {"lfs": {key: digest(path, content), "size": len(content), "pointerSize": 130}}


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A running `HubServer` that serves as the Hub of this process, with a separate cache."""
    from huggingface_hub import constants, hf_api
    from huggingface_hub.utils import close_session, disable_progress_bars, enable_progress_bars

    with HubServer() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_TOKEN_PATH": str(tmp_path / "token"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(hf_api.api, "endpoint", server.url)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        # Retries don't wait, since the faults are deliberate.
        for module in ("huggingface_hub.utils._http", "huggingface_hub.file_download"):
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(sleep=lambda seconds: None))
        monkeypatch.setattr("autopipe.checkpoint.hub.repository._WAITS", (0.0, 0.0))
        disable_progress_bars()
        yield server
        enable_progress_bars()
        close_session()
