"""The programs in `examples/` do what their docstrings say."""

from __future__ import annotations

import io
import json
import runpy
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from autopipe import AutoPipelineForText2Image, AutoPipelineForUnconditional

EXAMPLES = Path(__file__).parents[1] / "examples"
SERVER = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "server.py")))
BATCH = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "batch.py")))
STEPS = 3


@pytest.fixture(scope="module")
def pipe() -> Any:
    pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The log lines of the server."""
    said: list[str] = []
    monkeypatch.setattr(
        SERVER.Handler, "log_message", lambda handler, text, *parts: said.append(text % parts)
    )
    return said


@pytest.fixture
def address(pipe: Any, said: list[str]) -> Iterator[str]:
    with SERVER.Server(("127.0.0.1", 0), pipe, at_once=2) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def ask(address: str, body: bytes, path: str = "/images") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", data=body, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def asked(prompt: str, seed: int) -> bytes:
    return json.dumps({"prompt": prompt, "seed": seed, "steps": STEPS}).encode()


def drawn(pipe: Any, prompt: str, seed: int) -> bytes:
    generator = torch.Generator().manual_seed(seed)
    image = pipe(prompt, num_inference_steps=STEPS, generator=generator).images[0]
    return image.tobytes()


def test_clients_of_one_pipeline_get_what_each_asked_for(pipe: Any, address: str) -> None:
    requests = [("a red circle", 1), ("a blue star", 2), ("a green heart", 3)]
    with ThreadPoolExecutor(3) as clients:
        answers = list(clients.map(lambda one: ask(address, asked(*one)), requests))
    for (status, body), request in zip(answers, requests):
        assert status == 200
        assert Image.open(io.BytesIO(body)).tobytes() == drawn(pipe, *request)


@pytest.mark.parametrize(
    ("body", "path", "status", "words"),
    [
        (b"no JSON", "/images", 400, "Expecting value"),
        (b'{"seed": 1}', "/images", 400, "prompt"),
        (b'{"prompt": "a", "steps": "many"}', "/images", 400, "num_inference_steps"),
        (b'{"prompt": "a", "seed": "x"}', "/images", 400, "x"),
        (b"3", "/images", 400, "iterable"),
        (b"{}", "/elsewhere", 404, "/images"),
        (b" " * 70_000, "/images", 413, "bytes"),
    ],
)
def test_a_request_that_cannot_be_met_is_told_why(
    address: str, body: bytes, path: str, status: int, words: str
) -> None:
    found, answer = ask(address, body, path)
    assert found == status
    assert words in json.loads(answer)["error"]


def test_a_length_below_zero_is_refused(address: str) -> None:
    connection = HTTPConnection(address, timeout=10)
    connection.putrequest("POST", "/images")
    connection.putheader("Content-Length", "-1")
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_a_call_ends_when_its_client_goes_away(address: str, said: list[str]) -> None:
    ended = threading.Event()

    class Heard(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            ended.set()

    heard = Heard()
    SERVER.Handler.log_message = lambda handler, text, *parts: heard.append(text % parts)
    client = HTTPConnection(address)
    client.request("POST", "/images", json.dumps({"prompt": "a hut", "steps": 1000}))
    client.close()
    assert ended.wait(30)
    assert "not drawn" in heard[0]


def test_a_batch_draws_what_is_not_there_yet(
    pipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, folder = tmp_path / "prompts.txt", tmp_path / "pictures"
    prompts.write_text("a red circle\n\na blue star\n", encoding="utf-8")
    command = [str(prompts), str(folder), "--each", "2", "--seed", "7", "--steps", str(STEPS)]
    assert BATCH.main(command) == 0
    names = ["0001-7.png", "0001-8.png", "0003-7.png", "0003-8.png"]
    assert sorted(file.name for file in folder.iterdir()) == names
    with Image.open(folder / names[3]) as image:
        assert image.tobytes() == drawn(pipe, "a blue star", 8)
        assert image.text == {"prompt": "a blue star", "seed": "8"}
    kept = (folder / names[0]).stat().st_mtime_ns
    (folder / names[3]).unlink()
    capsys.readouterr()
    assert BATCH.main(command) == 0
    assert "1 of 4 pictures" in capsys.readouterr().out
    assert sorted(file.name for file in folder.iterdir()) == names
    assert (folder / names[0]).stat().st_mtime_ns == kept


def test_a_batch_goes_on_after_a_picture_that_cannot_be_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("a hut\na house\n", encoding="utf-8")
    command = [str(tmp_path / "prompts.txt"), str(tmp_path / "out"), "--steps", "0"]
    assert BATCH.main(command) == 1
    assert capsys.readouterr().out.count("failed: ") == 2


def test_digits_are_learned_from_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main = runpy.run_path(str(EXAMPLES / "train_digits.py"))["main"]
    # Without scikit-learn: of each digit a picture whose brightness is the digit.
    digits = torch.arange(10)
    pictures = (digits / 5 - 1)[:, None, None, None].expand(-1, 1, 8, 8)
    monkeypatch.setitem(main.__globals__, "read_digits", lambda: (pictures, digits))
    options = ("--steps", "4", "--batch", "4", "--log-every", "2")
    assert main(["--to", str(tmp_path), *options]) == 0
    assert "step 4 of 4" in capsys.readouterr().out
    pipe = AutoPipelineForUnconditional.from_pretrained(tmp_path)
    assert pipe(class_labels=7, num_inference_steps=1).images[0].size == (8, 8)
    with Image.open(tmp_path / "digits.png") as sheet:
        assert sheet.size == (4 * 48, 10 * 48)
