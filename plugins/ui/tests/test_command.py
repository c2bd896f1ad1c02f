"""The command: its options, and the page as it runs by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from autopipe.cli import main


def test_it_starts_server_and_page_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "autopipe", "ui", "--port", "0", "--folder", str(tmp_path)]
    # Nothing but this machine is reached, and nothing is reported.
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "https_proxy": "http://127.0.0.1:9"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    address = re.fullmatch(r"draw at (http://127\.0\.0\.1:\d+)\n", line)
    assert address is not None, line
    with urllib.request.urlopen(address[1]) as answer:
        page = answer.read().decode()
    assert '"title":"autopipe"' in page
    assert '"analytics_enabled":false' in page
    assert '"run_history":false' in page
    for headers, status in (
        ({"Host": "example.org"}, 421), ({"Origin": "http://example.org"}, 403)
    ):  # fmt: skip
        asked = urllib.request.Request(f"{address[1]}/gradio_api/queue/join", b"{}", headers)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(asked)
        assert raised.value.code == status
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--host", "0.0.0.0"], "--key-file"),
        (["--server", "nonsense", "--port", "0"], "is not the address of a server"),
        (["--server", "http://localhost:8000", "--loras", "x"], "--loras is for a server"),
        (["--server", "http://localhost:8000", "--max-steps", "9"], "--max-steps is for a server"),
        (["--model", "nowhere", "--port", "0"], "nowhere"),
        (["--loras", "nowhere", "--port", "0"], "--loras 'nowhere' is not a folder"),
    ],
)
def test_options_that_are_not_valid(
    line: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["ui", *line]) == 2
    assert told in capsys.readouterr().err
