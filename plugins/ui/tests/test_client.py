"""The client, against a server."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.errors import ArgumentError
from autopipe_ui.client import Client, ServerError

CAT = {"prompt": "a cat", "num_inference_steps": 2}


def test_a_request_from_its_form_to_its_settings(server: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with server.client() as client:
            installed = await client.installed()
            assert "text2image" in {one["name"] for one in installed["tasks"]}
            model = installed["models"][0]["name"]
            task = await client.task("text2image", model)
            assert task["size"] == [64, 64]
            state = await client.submit({**CAT, "seed": 5})
            events = [one async for one in client.events(state["id"])]
            assert events[-1]["state"] == "done"
            assert {"preview", "result"} <= {key for one in events for key in one}
            path = next(one["result"] for one in events if "result" in one)
            file = await client.result(path, tmp_path)
            written = server.studio.ticket(state["id"]).files[0]
            assert (file.name, file.read_bytes()) == (written.name, written.read_bytes())
            settings = await client.settings(file)
            assert settings["given"]["seed"] == 5

    asyncio.run(run())


def test_uploads_are_named_in_requests(server: Any) -> None:
    stream = io.BytesIO()
    PIL.Image.new("RGB", (64, 64), "red").save(stream, "PNG")

    async def run() -> None:
        async with server.client() as client:
            image = await client.upload(stream.getvalue(), "image")
            given = {**CAT, "task": "image2image", "image": image, "strength": 0.5}
            state = await client.submit(given)
            events = [one async for one in client.events(state["id"])]
            assert events[-1]["state"] == "done"

    asyncio.run(run())


def test_errors_are_the_sentences_of_the_server(server: Any, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")

    async def run() -> None:
        async with server.client() as client:
            for call, told, status in (
                (client.submit({"prompt": "a", "steps": 1000}), "at most 150", 400),
                (client.task("nothing", None), "nothing", 404),
                (client.cancel("nothing"), "nothing", 404),
                (client.settings(tmp_path / "no.png"), "the picture", 422),
                (client.result("/requests/nothing/results/0", tmp_path), "nothing", 404),
            ):
                with pytest.raises(ServerError, match=told) as raised:
                    await call
                assert raised.value.status == status

    asyncio.run(run())


def test_keys(serve: Callable[..., Any]) -> None:
    async def run(server: Any) -> None:
        async with server.client() as client:
            with pytest.raises(ServerError, match="needs a key") as raised:
                await client.installed()
            assert raised.value.status == 401
        async with server.client("a-key-of-some-length") as client:
            assert (await client.installed())["tasks"]

    with serve(keys=("a-key-of-some-length",)) as server:
        asyncio.run(run(server))


@pytest.mark.parametrize(
    "address", ["", "example.org", "file:///etc", "http://", "\0", "\ud83d", "http://x/\udcff"]
)
def test_addresses_that_are_not_valid(address: str) -> None:
    with pytest.raises(ArgumentError, match="the address of a server"):
        Client(address)


def test_a_server_that_is_not_there_or_is_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                connection, _ = sock.accept()
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()

        async def run(told: str) -> None:
            client = Client(f"http://127.0.0.1:{port}")
            with pytest.raises(ServerError, match=told):
                await client.installed()
            with pytest.raises(ServerError):
                await client.submit(CAT)
            await client.close()

        asyncio.run(run("is not a server of autopipe"))
        thread.join()
    asyncio.run(run("is it still running"))


@contextmanager
def answering(body: bytes, headers: str = "") -> Iterator[str]:
    """Context manager with the address of a server that answers once."""
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def answer() -> None:
            connection, _ = sock.accept()
            connection.recv(65536)
            head = f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        thread.join()


def test_events_go_on_after_a_lost_connection(tmp_path: Path) -> None:
    """The client names the last event that it knows, as browsers do."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def answer() -> None:
            for text in (
                'id: 1\ndata: {"state": "queued"}\n\nid: 2\ndata: {"state": "drawing"}\n\n',
                'id: 3\ndata: {"state": "done"}\n\n',
            ):
                connection, _ = sock.accept()
                asked.append(connection.recv(65536).decode().lower())
                head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{text}".encode())
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()

        async def run() -> list[str]:
            client = Client(f"http://127.0.0.1:{sock.getsockname()[1]}")
            states = [one["state"] async for one in client.events("id")]
            await client.close()
            return states

        assert asyncio.run(run()) == ["queued", "drawing", "done"]
        thread.join()
    assert "last-event-id: 0" in asked[0]
    assert "last-event-id: 2" in asked[1]


@pytest.mark.parametrize("path", ["http://example.org/a", "//example.org/a", "a", ""])
def test_results_of_other_servers_are_refused(path: str, tmp_path: Path) -> None:
    client = Client("http://127.0.0.1:1", "a key")
    with pytest.raises(ServerError, match="is not a server of autopipe"):
        asyncio.run(client.result(path, tmp_path))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../../a.png", "a.png"),
        ("..\\a.png", "a.png"),
        ("..", "result"),
        ("", "result"),
        ("a" * 1000 + ".png", "a" * 96 + ".png"),
    ],
)
def test_names_of_results_have_no_folders(name: str, written: str, tmp_path: Path) -> None:
    with answering(b"a", f'Content-Disposition: inline; filename="{name}"\r\n') as address:

        async def run() -> Path:
            client = Client(address)
            file = await client.result("/requests/a/results/0", tmp_path)
            await client.close()
            return file

        assert asyncio.run(run()) == tmp_path / written


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"tasks": []}'])
def test_another_server_that_speaks_json(answer: bytes) -> None:
    with answering(answer) as address:

        async def run() -> None:
            client = Client(address)
            with pytest.raises(ServerError, match="is not a server of autopipe"):
                await client.installed()
            await client.close()

        asyncio.run(run())
