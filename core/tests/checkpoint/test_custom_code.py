"""`custom_pipeline=`: code that the caller names and trusts runs, and no other."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.hub_server import HubServer

from autopipe.checkpoint import custom_code
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import ArgumentError, ArgumentTypeError, CheckpointError, UnsafeCheckpointError
from autopipe.pipeline.base import DiffusionPipeline

from .conftest import TinyNet, TinyPipeline

CODE = """
from autopipe import DiffusionPipeline

class Custom(DiffusionPipeline):
    _optional_components = ("checker",)

    def __init__(self, net, text_encoder, scheduler, checker=None, note="plain"):
        self.register_modules(
            net=net, text_encoder=text_encoder, scheduler=scheduler, checker=checker
        )

    def answer(self):
        return 42
"""
TRUST = {"trust_remote_code": True}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "pipeline.py").write_text(CODE)
    return folder


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("autopipe_custom_"):
            del sys.modules[name]


def load(saved: Path, asked: Any, **keywords: Any) -> Any:
    return DiffusionPipeline.from_pretrained(saved, custom_pipeline=asked, **TRUST, **keywords)


@pytest.mark.parametrize("form", ["folder", "file", "text"])
def test_a_folder_or_a_file_is_run(saved: Path, code: Path, form: str) -> None:
    asked = {"folder": code, "file": code / "pipeline.py", "text": str(code)}[form]
    pipe = load(saved, asked)
    assert pipe.answer() == 42
    assert isinstance(pipe.net, TinyNet)
    assert not isinstance(pipe, TinyPipeline)


def test_it_is_said_which_files_run(
    saved: Path, code: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(saved, code)
    [record] = [one for one in caplog.records if "trust_remote_code" in one.getMessage()]
    assert str(code / "pipeline.py") in record.getMessage()
    assert custom_code.read_code(LocalSource(code), "pipeline.py").digest in record.getMessage()


def test_a_class_that_the_caller_calls_makes_no_difference(saved: Path, code: Path) -> None:
    keywords = {"custom_pipeline": code, **TRUST}
    assert TinyPipeline.from_pretrained(saved, **keywords).answer() == 42  # type: ignore[attr-defined]


def test_files_beside_it_are_imported(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_text(
        "from .helper import NUMBER\nfrom . import other\n" + CODE.replace("42", "NUMBER + other.N")
    )
    (code / "helper.py").write_text("from .third import NUMBER\n")
    (code / "third.py").write_text("NUMBER = 40\n")
    (code / "other.py").write_text("N = 2\n")
    (code / "never.py").write_text("raise RuntimeError\n")
    assert load(saved, code).answer() == 42
    read = custom_code.read_code(LocalSource(code), "pipeline.py")
    assert set(read.files) == {"pipeline", "helper", "third", "other"}


def test_equal_code_is_one_class_and_changed_code_another(saved: Path, code: Path) -> None:
    first, second = type(load(saved, code)), type(load(saved, code))
    assert first is second
    (code / "pipeline.py").write_text(CODE.replace("42", "43"))
    assert load(saved, code).answer() == 43
    assert first.answer(None) == 42  # type: ignore[attr-defined]


def test_what_was_checked_is_what_runs(
    saved: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes after it was read, before it runs, doesn't run."""
    read = custom_code.read_code

    def then_changed(source: Any, main: str) -> Any:
        found = read(source, main)
        (code / "pipeline.py").write_text("raise RuntimeError('the wrong code')")
        return found

    monkeypatch.setattr(custom_code, "read_code", then_changed)
    assert load(saved, code).answer() == 42


def test_without_the_flag_nothing_runs(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_text("raise RuntimeError")
    for flag in ({}, {"trust_remote_code": False}, {"trust_remote_code": 1}):
        with pytest.raises(UnsafeCheckpointError, match="trust_remote_code=True"):
            DiffusionPipeline.from_pretrained(saved, custom_pipeline=code, **flag)


def test_the_flag_alone_opens_nothing(saved: Path) -> None:
    with pytest.raises(UnsafeCheckpointError, match="as a plugin"):
        DiffusionPipeline.from_pretrained(saved, **TRUST)
    (saved / "net" / "net.py").write_text("raise RuntimeError")
    index = saved / "model_index.json"
    index.write_text(index.read_text().replace('"TinyPipeline"', '["pipeline", "Custom"]'))
    (saved / "pipeline.py").write_text("raise RuntimeError")
    with pytest.raises(UnsafeCheckpointError, match="own code"):
        DiffusionPipeline.from_pretrained(saved)


def test_a_component_that_the_index_names_as_code_is_not_run(saved: Path, code: Path) -> None:
    index = saved / "model_index.json"
    (saved / "net" / "my_net.py").write_text("raise RuntimeError")
    text = index.read_text()
    start = text.index('"net": [')
    end = text.index("]", start)
    index.write_text(text[:start] + '"net": ["my_net", "MyNet"' + text[end:])
    with pytest.raises(ValueError, match="MyNet"):
        load(saved, code)
    assert "my_net" not in sys.modules


@pytest.mark.parametrize("link", ["main", "beside"])
def test_links_that_lead_out_are_refused(
    saved: Path, code: Path, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(CODE if link == "main" else "X = 1\n")
    if link == "main":
        (code / "pipeline.py").unlink()
        (code / "pipeline.py").symlink_to(outside)
    else:
        (code / "pipeline.py").write_text("from .beside import X\n" + CODE)
        (code / "beside.py").symlink_to(outside)
    with pytest.raises(UnsafeCheckpointError, match="out of the checkpoint"):
        load(saved, code)
    assert load(saved, code, follow_links=True).answer() == 42


@pytest.mark.parametrize(
    "asked", ["../code", "/no/such.py", "owner/../x", "a b", "x\0.py", ".hidden/x", "x" * 5000]
)
def test_a_path_that_is_not_there_is_no_name(saved: Path, asked: str) -> None:
    with pytest.raises((ArgumentError, CheckpointError)):
        load(saved, asked)


def test_a_file_that_is_not_python_is_refused(saved: Path, code: Path) -> None:
    (code / "text.txt").write_text(CODE)
    with pytest.raises(ArgumentError, match=r"ends in \.py"):
        load(saved, code / "text.txt")
    (code / "pipeline.py").write_text("class (:\n")
    with pytest.raises(CheckpointError, match="not Python"):
        load(saved, code)
    (code / "pipeline.py").write_bytes(b"\0" * 100)
    with pytest.raises(CheckpointError, match="not Python"):
        load(saved, code)


def test_a_file_that_is_too_large_or_a_pipe_is_refused(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(UnsafeCheckpointError, match="limit"):
        load(saved, code)
    (code / "pipeline.py").unlink()
    os.mkfifo(code / "pipeline.py")
    with pytest.raises((CheckpointError, UnsafeCheckpointError), match="named pipe"):
        load(saved, code)


def test_many_files_are_refused(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_text("".join(f"from .m{n} import x\n" for n in range(40)))
    for n in range(40):
        (code / f"m{n}.py").write_text("x = 1\n")
    with pytest.raises(UnsafeCheckpointError, match="more than 32 files"):
        load(saved, code)


def test_a_module_that_leads_up_is_not_found(saved: Path, code: Path) -> None:
    (code.parent / "above.py").write_text("raise RuntimeError")
    (code / "pipeline.py").write_text("from ..above import x\n" + CODE)
    with pytest.raises(CheckpointError, match="failed"):
        load(saved, code)


def test_code_that_fails_is_a_typed_error_and_is_forgotten(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_text("1 / 0")
    with pytest.raises(CheckpointError, match="ZeroDivisionError") as caught:
        load(saved, code)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not [name for name in sys.modules if name.startswith("autopipe_custom_")]


def test_code_without_or_with_several_pipelines(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_text("from autopipe import DiffusionPipeline\n")
    with pytest.raises(ArgumentError, match="as_diffusers"):
        load(saved, code)
    (code / "pipeline.py").write_text(CODE + CODE.replace("Custom", "Second"))
    with pytest.raises(ArgumentError, match=r"several pipelines \(Custom, Second\)"):
        load(saved, code)
    (code / "pipeline.py").write_text(CODE + CODE.replace("Custom", "TinyPipeline"))
    assert type(load(saved, code)).__name__ == "TinyPipeline"


def test_code_for_diffusers_is_told_how_it_runs(saved: Path, code: Path) -> None:
    (code / "pipeline.py").write_text("raise ModuleNotFoundError('x', name='diffusers')\n")
    with pytest.raises(CheckpointError, match=r"import autopipe\.as_diffusers|Import autopipe"):
        load(saved, code)


def test_a_community_name_is_answered(saved: Path) -> None:
    for keywords in (TRUST, {}):
        with pytest.raises((ArgumentError, UnsafeCheckpointError), match="prompts"):
            DiffusionPipeline.from_pretrained(
                saved, custom_pipeline="lpw_stable_diffusion", **keywords
            )
    with pytest.raises(ArgumentError, match=r"examples/community/imagic\.py"):
        load(saved, "imagic")


def test_it_is_for_pipelines_and_a_path(saved: Path, code: Path) -> None:
    with pytest.raises(ArgumentError, match="for pipelines"):
        TinyNet.from_pretrained(saved / "net", custom_pipeline=code, **TRUST)
    with pytest.raises(ArgumentTypeError, match="a path or None"):
        load(saved, 3)


def test_a_repository_at_one_commit(
    hub_server: HubServer, saved: Path, code: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = hub_server.add("owner/code", code)
    repository = hub_server.repositories["owner/code"]
    repository.commit({"pipeline.py": CODE.replace("42", "43").encode()})
    second = repository.refs["main"]
    assert load(saved, "owner/code").answer() == 43
    assert second in caplog.text
    assert load(saved, "owner/code", custom_revision=first).answer() == 42
    assert first in caplog.text
    keywords = {"custom_revision": first, "local_files_only": True}
    assert load(saved, "owner/code", **keywords).answer() == 42
