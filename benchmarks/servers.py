"""Servers to measure: `autopipe serve`, and the reference behind a server of the same shape.

    python benchmarks/servers.py pipelines|lock CHECKPOINT WORKERS

runs the reference: with a pipeline for each request, built of shared components, or with a lock
around one pipeline. It says its address as `autopipe serve` does, and answers the same path.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

from processes import HERE, QUIET

PATH = "/v1/images/generations"
_LONGEST = 300.0
"""Seconds for a server to begin, or for an answer."""


class Server(AbstractContextManager["Server"]):
    """A server in a process of its own.

    Args:
        command: what starts it.

    Attributes:
        port: where it listens.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # It lives as long as this.
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **QUIET},
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = re.search(r"http://\S+:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise SystemExit(f"the server ended: {self.told()}")

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def told(self) -> str:
        """Return the end of its log."""
        self._log.seek(0)
        return self._log.read()[-2000:]

    def ask(self, given: Mapping[str, Any]) -> float:
        """Ask for an image, and return after how many seconds it came.

        Raises:
            SystemExit: if the answer is none.
        """
        begin = time.perf_counter()
        status, body = self.fetch("POST", PATH, given)
        taken = time.perf_counter() - begin
        if status != 200 or not base64.b64decode(json.loads(body)["data"][0]["b64_json"]):
            raise SystemExit(f"the server answered {status}: {body[:500]!r}\n{self.told()}")
        return taken

    def fetch(
        self, method: str, path: str, given: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_LONGEST)
        try:
            headers = {} if given is None else {"Content-Type": "application/json"}
            text = None if given is None else json.dumps(given)
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self, name: str) -> int:
        """Return a number of `/proc/PID/status`, such as `VmRSS` in kB or `Threads`."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(text.split(f"{name}:")[1].split()[0])

    def cpu(self) -> float:
        """Return the seconds of all cores that the process has taken."""
        text = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = text.rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(model: str, workers: int, *options: str) -> list[str]:
    """Return the command of `autopipe serve`."""
    command = (sys.executable, "-m", "autopipe", "serve", "--model", f"model={model}")
    return [*command, "--port", "0", "--workers", str(workers), "--no-previews", *options]


def reference(model: str, workers: int, way: str) -> list[str]:
    """Return the command of the reference's server."""
    return [sys.executable, str(HERE / "servers.py"), way, model, str(workers)]


def _drawing(way: str, model: str, workers: int) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function that draws an image with the reference."""
    import torch
    from diffusers import StableDiffusionPipeline

    whole = StableDiffusionPipeline.from_pretrained(model)
    whole.set_progress_bar_config(disable=True)
    places = threading.Semaphore(1 if way == "lock" else workers)

    def own() -> Any:
        if way == "lock":
            return whole
        # Neither is safe to share: a scheduler counts steps, a tokenizer is set for each text.
        parts = {**whole.components, "tokenizer": copy.deepcopy(whole.tokenizer)}
        parts["scheduler"] = type(whole.scheduler).from_config(whole.scheduler.config)
        made = StableDiffusionPipeline(**parts, requires_safety_checker=False)
        made.set_progress_bar_config(disable=True)
        return made

    def draw(given: Mapping[str, Any]) -> Any:
        width, height = map(int, given["size"].split("x"))
        with places:
            return own()(
                given["prompt"],
                num_inference_steps=given["num_inference_steps"],
                width=width,
                height=height,
                generator=torch.Generator().manual_seed(given["seed"]),
            ).images[0]

    return draw


def main() -> None:
    way, model, workers = sys.argv[1:]
    import uvicorn
    from fastapi import FastAPI
    from fastapi.params import Body

    draw = _drawing(way, model, int(workers))
    app = FastAPI()

    # Not a coroutine, so that FastAPI calls it in a thread.
    def generations(given: dict[str, Any] = Body()) -> dict[str, Any]:  # type: ignore[assignment] # noqa: B008
        stream = BytesIO()
        draw(given).save(stream, format="PNG")
        return {"data": [{"b64_json": base64.b64encode(stream.getvalue()).decode()}]}

    app.post(PATH)(generations)
    config = uvicorn.Config(app, port=0, log_level="warning")
    sock = config.bind_socket()
    sock.listen(512)  # From here on clients wait, until it is ready.
    print(f"serving at http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
