"""A checkpoint without a class is opened as the one family that recognises it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.raised import each_error

from autopipe.checkpoint.index import open_index
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import (
    CheckpointError,
    ConfigError,
    UnsafeCheckpointError,
    UnsupportedCheckpointError,
)
from autopipe.manifest import Family, Probe
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin

ANSWER = {"_class_name": "ZooPipeline", "net": ["zoo", "Net"]}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with a network and without an index."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/config.json").write_text('{"width": 4}')
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What the probe `zoo_probe:yes` was asked."""
    calls: list[tuple[Any, Any]] = []
    module: Any = ModuleType("zoo_probe")

    def yes(index: Any, configs: Any) -> Any:
        calls.append((index, configs))
        return ANSWER

    module.yes, module.no = yes, lambda index, configs: None
    module.rude = lambda index, configs: {**ANSWER, "../net": ["zoo", "Net"]}
    module.nonsense, module.raises = lambda *given: 7, lambda *given: given[5]
    monkeypatch.setitem(sys.modules, "zoo_probe", module)
    return calls


def registry(**answers: str) -> Registry:
    """Families that answer by a function of `zoo_probe` each."""
    return Registry(
        Installed(
            Plugin(name, f"d-{name}", "1"),
            Family(name, probes=(Probe(("net",), f"zoo_probe:{how}", ("extra",)),)),
        )
        for name, how in answers.items()
    )


def opened(folder: Path, table: Registry) -> Any:
    return open_index(LocalSource(folder), table)


def test_the_family_that_recognises_it_says_what_it_is(checkpoint: Path, asked: list) -> None:
    index = opened(checkpoint, registry(first="no", second="yes"))
    assert (index.class_name, dict(index.components)) == ("ZooPipeline", {"net": ("zoo", "Net")})
    assert index.folder == checkpoint
    assert asked == [({}, {"net": {"width": 4}})]


def test_an_index_without_a_class_is_shown_and_its_options_stay(
    checkpoint: Path, asked: list
) -> None:
    (checkpoint / "model_index.json").write_text('{"strict": true}')
    (checkpoint / "extra").mkdir()
    (checkpoint / "extra/vocab.json").write_text("[]")
    index = opened(checkpoint, registry(zoo="yes"))
    assert dict(index.options) == {"strict": True}
    assert asked == [({"strict": True}, {"net": {"width": 4}, "extra": {}})]


def test_a_class_that_is_named_counts_and_no_probe_is_asked(checkpoint: Path, asked: list) -> None:
    (checkpoint / "model_index.json").write_text(json.dumps({"_class_name": "Other"}))
    assert opened(checkpoint, registry(zoo="yes")).class_name == "Other"
    assert asked == []


def test_a_probe_is_not_imported_where_a_folder_is_absent(checkpoint: Path) -> None:
    far = Family("far", probes=(Probe(("net", "absent"), "no_such_module:f"),))
    table = Registry([Installed(Plugin("far", "d", "1"), far)])
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        opened(checkpoint, table)


def test_what_nobody_recognises_is_refused_as_before(checkpoint: Path, asked: list) -> None:
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        opened(checkpoint, registry(zoo="no"))
    (checkpoint / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match="_class_name"):
        opened(checkpoint, registry(zoo="no"))


def test_two_families_that_claim_it_are_named(checkpoint: Path, asked: list) -> None:
    with pytest.raises(UnsupportedCheckpointError, match="one and two both"):
        opened(checkpoint, registry(one="yes", two="yes"))


@pytest.mark.parametrize("bad", ["raises", "nonsense", "absent"])
def test_a_probe_that_is_broken_is_named_and_harms_no_other(
    bad: str, checkpoint: Path, asked: list, caplog: pytest.LogCaptureFixture
) -> None:
    index = opened(checkpoint, registry(broken=bad, zoo="yes"))
    assert index.class_name == "ZooPipeline"
    assert "broken (d-broken 1)" in caplog.text
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        opened(checkpoint, registry(broken=bad))


@each_error
def test_whatever_a_probe_raises_harms_no_other(
    error: BaseException, checkpoint: Path, asked: list, monkeypatch, caplog
) -> None:
    def fails(*given: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["zoo_probe"], "fails", fails, raising=False)
    assert opened(checkpoint, registry(broken="fails", zoo="yes")).class_name == "ZooPipeline"
    assert type(error).__name__ in caplog.text
    assert "\x1b" not in caplog.text


def test_an_answer_is_checked_like_an_index(checkpoint: Path, asked: list) -> None:
    with pytest.raises(UnsafeCheckpointError):
        opened(checkpoint, registry(zoo="rude"))
