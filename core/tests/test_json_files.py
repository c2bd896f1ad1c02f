from __future__ import annotations

import json
from pathlib import Path

import pytest

from autopipe.errors import AutopipeError, ConfigError
from autopipe.json_files import parse_json, read_json_object


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[1]", "list"),
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (None, "not exist"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | None, part: str) -> None:
    file = tmp_path / "config.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=part) as caught:
        read_json_object(file)
    assert "config.json" in str(caught.value)
    assert isinstance(caught.value, (AutopipeError, OSError))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_json_object(file)


def test_commas_in_texts_do_not_count() -> None:
    text = ', "\\": [{' * 400_000
    assert parse_json(json.dumps({"a": text, "b": [text]}).encode()) == {"a": text, "b": [text]}
    with pytest.raises(ValueError, match="more than 1,048,576 entries"):
        parse_json(json.dumps([text, [1] * 1_100_000]).encode())
