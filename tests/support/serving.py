"""A server of autopipe in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autopipe_serve.server import Server, listening


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serve an application on a free port of the loopback, which is yielded."""
    server = Server(app, grace=5)
    sock = listening("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
