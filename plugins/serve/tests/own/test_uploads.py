"""Uploads that requests name by ids."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from autopipe_serve.errors import Refusal
from autopipe_serve.own import store
from autopipe_serve.own.store import Store
from autopipe_serve.settings import Settings


def test_a_file_comes_in_a_form_or_in_json(client: Callable, picture: Callable) -> None:
    content = picture()
    with client() as one:
        form = one.post("/uploads", files={"file": ("a.txt", content)})
        text = base64.b64encode(content).decode()
        json = one.post("/uploads", json={"file": f"data:image/png;base64,{text}"})
        assert form.status_code == json.status_code == 201
        assert form.json()["id"] != json.json()["id"]
        for wrong in {"image": text}, {"file": 1}, {}:
            assert one.post("/uploads", json=wrong).status_code == 400
        assert one.post("/uploads?kind=program", json={"file": text}).status_code == 400
        assert one.post("/uploads?kind=audio", json={"file": text}).status_code == 415


def test_the_oldest_leave(
    tmp_path: Path, picture: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = picture()
    monkeypatch.setattr(store, "MOST", 2)
    kept = Store(Settings(folder=tmp_path))
    first, second = kept.add(content, "a"), kept.add(content, "a")
    assert kept.content(first, "a", "image") == content
    third = kept.add(content, "a")
    assert kept.content(first, "a", "image") == kept.content(third, "a", "image") == content
    with pytest.raises(Refusal, match="image names an upload that isn't there"):
        kept.content(second, "a", "image")
    monkeypatch.setattr(store, "MOST_BYTES", len(content))
    last = kept.add(content, "a")
    for gone in first, third:
        with pytest.raises(Refusal):
            kept.content(gone, "a", "image")
    assert kept.content(last, "a", "image") == content
    with pytest.raises(Refusal):
        kept.content(last, "b", "image")
