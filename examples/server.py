"""A web server that generates pictures: one pipeline for all requests, one thread for each.

    python server.py --model demo:stable_diffusion --port 8000
    curl -d '{"prompt": "a red circle", "seed": 1}' http://localhost:8000/images -o circle.png

A request is JSON with a prompt, and optionally a seed, steps and a negative prompt. The response is
a PNG. A call ends when its client disconnects. Several calls run at once, and further requests
wait. The server has neither encryption nor a login; put it behind a proxy that has both. To serve
for more than yourself, there is `autopipe serve`, of `autopipe-serve`.
"""

from __future__ import annotations

import argparse
import io
import json
import select
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from PIL.Image import Image

from autopipe import AutopipeError, AutoPipelineForText2Image
from autopipe.errors import CancelledError
from autopipe.pipeline.tasks import Text2ImagePipeline

LARGEST = 64 * 1024
"""The maximum size of a request in bytes."""


class Client:
    """The client that waits for a picture; passed to the call as its `cancellation`."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def is_set(self) -> bool:
        """Whether the client has disconnected and the call should end; called after each step."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True


@dataclass
class Painter:
    """The pipeline, with a limit on the number of concurrent calls."""

    pipe: Text2ImagePipeline
    places: threading.Semaphore

    def draw(self, request: dict[str, Any], client: Client) -> Image:
        """Generate and return the requested picture.

        Raises:
            AutopipeError: if an argument is invalid, or (`CancelledError`) the client disconnects.
        """
        while not self.places.acquire(timeout=0.1):
            if client.is_set():
                raise CancelledError("the client left while it waited")
        try:
            return self.pipe(
                request.get("prompt"),
                negative_prompt=request.get("negative_prompt"),
                num_inference_steps=request.get("steps", 30),
                generator=torch.Generator().manual_seed(request.get("seed", 0)),
                cancellation=client,
            ).images[0]
        finally:
            self.places.release()


class Server(ThreadingHTTPServer):
    """Provides the painter to all handlers."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], pipe: Text2ImagePipeline, at_once: int) -> None:
        super().__init__(address, Handler)
        pipe.set_progress_bar_config(disable=True)
        self.painter = Painter(pipe, threading.Semaphore(at_once))


class Handler(BaseHTTPRequestHandler):
    """Handles one request in its own thread."""

    def do_POST(self) -> None:
        """Send the requested picture, or an error."""
        if self.path != "/images":
            return self.fail(404, "there is only POST /images")
        assert isinstance(self.server, Server)
        try:
            length = int(self.headers.get("Content-Length", 0))
            if not 0 <= length <= LARGEST:
                return self.fail(413, f"a request has at most {LARGEST} bytes")
            request = json.loads(self.rfile.read(length))
            image = self.server.painter.draw(dict(request), Client(self.connection))
        except CancelledError as error:
            return self.log_message("%s", f"not drawn: {error}")
        except (AutopipeError, ValueError, TypeError, RuntimeError) as error:
            return self.fail(400, str(error))
        file = io.BytesIO()
        image.save(file, "PNG")
        self.answer(200, "image/png", file.getvalue())

    def fail(self, status: int, reason: str) -> None:
        """Send an error."""
        self.answer(status, "application/json", json.dumps({"error": reason}).encode())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        """Send a complete response."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Load the checkpoint and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve pictures over HTTP.")
    parser.add_argument("--model", default="demo:stable_diffusion", help="a folder or repository")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--at-once", type=int, default=2, help="calls that run at the same time")
    options = parser.parse_args()
    pipe = AutoPipelineForText2Image.from_pretrained(options.model)
    with Server(("127.0.0.1", options.port), pipe, options.at_once) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pipe.cancel()


if __name__ == "__main__":
    main()
