"""`autopipe stubs`: what is installed, as type checkers read it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from autopipe import Export, Manifest, Pipeline, Task
from autopipe.cli import main
from autopipe.registry import Registry, default_registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe_devkit.stubs import FILE, stub


def installed(manifest: Manifest) -> Installed:
    return Installed(Plugin(manifest.name, f"autopipe-{manifest.name}", "1.0"), manifest)


def stub_of(*manifests: Manifest) -> list[str]:
    text = stub(Registry(map(installed, manifests)), "autopipe stubs")
    ast.parse(text)
    return text.splitlines()


ZOO = Manifest(
    name="zoo",
    pipelines=(Pipeline("ZooPipeline", "autopipe_zoo.draw:Zoo", "text2image", "zoo"),),
    exports=(Export("tame", "autopipe_zoo.beasts:tame"),),
    tasks=(
        Task("unprompted", auto_class="AutoPipelineForUnprompted", protocol="autopipe_zoo.calls:U"),
        Task("roaring", auto_class="AutoPipelineForRoaring"),
    ),
)


def test_a_name_is_defined_by_the_module_that_its_target_names() -> None:
    lines = stub_of(ZOO)
    assert "from autopipe_zoo.draw import Zoo as _ZooPipeline" in lines
    assert "ZooPipeline: _TypeAlias = _ZooPipeline" in lines
    # It may be a function, which can't be an alias of a type.
    assert "tame = _tame" in lines


def test_the_auto_class_of_a_task_gives_pipelines_with_the_calls_of_its_protocol() -> None:
    lines = stub_of(ZOO)
    assert "from autopipe_zoo.calls import U as _Unprompted" in lines
    given = "class _UnpromptedPipeline(_Unprompted, DiffusionPipeline, metaclass=_ABCMeta): ..."
    assert given in lines
    assert "class AutoPipelineForUnprompted(_AutoPipeline[_UnpromptedPipeline]): ..." in lines
    assert "class AutoPipelineForRoaring(_AutoPipeline[DiffusionPipeline]): ..." in lines


def test_a_name_that_two_plugins_claim_is_left_out() -> None:
    other = Manifest(name="park", exports=(Export("tame", "autopipe_park:tame"),))
    text = "\n".join(stub_of(ZOO, other))
    assert "ZooPipeline" in text
    assert "tame" not in text


def test_the_command_writes_it_where_it_is_told_and_finds_it_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stubs", "--check"]) == 1
    assert not (tmp_path / "typings").exists()
    assert main(["stubs"]) == 0
    file = tmp_path / "typings" / FILE
    assert file.read_text(encoding="utf-8") == stub(default_registry(), "autopipe stubs")
    assert main(["stubs", "--check"]) == 0
    file.write_text("errors: int\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["stubs", "--check"]) == 1
    assert "run: autopipe stubs" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["stubs", "--to", str(tmp_path / "file")]) == 2
    assert "--to" in capsys.readouterr().err
