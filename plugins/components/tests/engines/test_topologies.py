"""The cache of converted networks: private, bounded, whole."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from autopipe.cli import main
from autopipe_components.engines.topologies import Topologies


@pytest.fixture
def cache(tmp_path: Path) -> Topologies:
    return Topologies(tmp_path / "cache")


def writing(content: bytes = b"x") -> Callable[[Path], Mapping[str, Any]]:
    def write(folder: Path) -> Mapping[str, Any]:
        (folder / "topology").write_bytes(content)
        return {"engine": "one", "network": "Net", "method": "forward"}

    return write


def test_what_was_written_is_found_and_belongs_to_the_user_alone(cache: Topologies) -> None:
    assert cache.find("key") is None
    cache.add("key", writing(b"some"))
    found = cache.find("key")
    assert found is not None
    assert (found.folder / "topology").read_bytes() == b"some"
    assert found.about["network"] == "Net"
    if os.name == "posix":
        assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["topology", "entry.json"])
@pytest.mark.parametrize("content", [b"", b"other", None, b'{"files": {"../cache": ""}}'])
def test_a_damaged_entry_is_removed(cache: Topologies, name: str, content: bytes | None) -> None:
    cache.add("key", writing())
    file = cache.folder / "key" / name
    file.unlink() if content is None else file.write_bytes(content)
    assert cache.find("key") is None
    assert not (cache.folder / "key").exists()
    cache.add("key", writing())
    assert cache.find("key") is not None


def test_a_file_that_is_a_link_is_refused(cache: Topologies, tmp_path: Path) -> None:
    cache.add("key", writing())
    (tmp_path / "other").write_bytes(b"x")
    file = cache.folder / "key" / "topology"
    file.unlink()
    file.symlink_to(tmp_path / "other")
    assert cache.find("key") is None


@pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")
def test_a_folder_that_others_can_write_is_not_used(cache: Topologies) -> None:
    cache.add("key", writing())
    cache.folder.chmod(0o777)
    assert cache.find("key") is None
    entry, done = cache.add("key", writing(b"own"))
    assert (entry.folder / "topology").read_bytes() == b"own"
    assert entry.folder.parent != cache.folder
    done()
    assert not entry.folder.exists()


def test_the_entries_not_used_for_longest_are_removed(cache: Topologies) -> None:
    cache.most_entries = 2
    for i, key in enumerate(("first", "second")):
        cache.add(key, writing())
        os.utime(cache.folder / key, (i, i))
    assert cache.find("first") is not None
    cache.add("third", writing())
    assert cache.find("second") is None
    assert cache.find("first") is not None
    cache.most_bytes = 10
    cache.add("fourth", writing())
    assert [one.folder.name for one in cache.entries()] == ["fourth"]


def test_an_error_while_writing_leaves_nothing(cache: Topologies) -> None:
    def fail(folder: Path) -> Mapping[str, Any]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.add("key", fail)
    assert list(cache.folder.iterdir()) == []


def test_the_command_lists_and_clears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Topologies().add("key", writing())
    assert main(["engines"]) == 0
    assert "Net" in capsys.readouterr().out
    assert main(["engines", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cached"][0]["network"] == "Net"
    assert {"compile", "auto"} <= {one["name"] for one in found["engines"]}
    assert main(["engines", "--clear"]) == 0
    assert "Removed 1 converted network" in capsys.readouterr().out
    assert Topologies().entries() == []
