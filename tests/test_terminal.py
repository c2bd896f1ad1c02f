"""Text from outside never reaches a terminal, a log or a text file without being cleaned.

All commands of the parser are run with hostile names and texts in checkpoints, files, tensors,
manifests and arguments, in several encodings of the terminal.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.dists import env, write_plugin
from support.records import settings_in

import autopipe
from autopipe.checkpoint.address import demo_folder
from autopipe.cli import main
from autopipe.cli.parser import commands
from autopipe.manifest import AddOn, Command, Condition, Engine, Family, Pipeline, Reader, Runner
from autopipe.registry import Registry, default_registry
from autopipe.resolution.discovery import Installed, Plugin, Problem
from autopipe.tasks import Input, Task
from autopipe.wording import logger

RAW = "\x1b]0;pwned\x07\x9b31m\x7f\u202e\u2066\u200b\ufeff\u2028\r\x00"
"""Text that must not be output: control characters, direction marks and line separators."""
EVIL = RAW.replace("\x00", "") + "\udcff\ud83d"
FILE_NAME = RAW.replace("\x00", "") + "\udcff"
ENCODINGS = ["utf-8", "ascii", "latin-1", "cp1252", "utf-16"]

DEMO = "demo:stable_diffusion"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that can be opened and contains hostile text wherever possible."""
    folder = (
        tmp_path_factory.mktemp("hostile") / f"c{FILE_NAME[:-1]}"
    )  # safetensors only accepts UTF-8
    shutil.copytree(demo_folder("stable_diffusion", default_registry()), folder)
    file = folder / "model_index.json"
    index = json.loads(file.read_text())
    index |= {EVIL: 1, f"o{EVIL}": [EVIL, {EVIL: EVIL}], "depth": [[EVIL]], "inf": float("inf")}
    index[f"x{EVIL[:3]}"] = [None, 3]
    index["note"] = "x" * 100_000
    index["tagger"] = ["diffusers", "NoSuchClass"]
    file.write_text(json.dumps(index))
    (folder / "unet" / f"n{FILE_NAME}.json").write_text("{}")
    (folder / "unet" / f"n{FILE_NAME}.txt").write_text("x")
    weights = next((folder / "vae").glob("*.safetensors"))
    state = load_file(weights)
    save_file({**state, f"t{RAW.replace(chr(0), '')}": torch.full((2,), torch.nan)}, weights)
    text = RAW.replace("\0", "")
    lora_file(folder).parent.mkdir()
    one = {f"unet.{text}.lora_{way}.weight": torch.ones(2, 2) for way in "AB"} | {
        text: torch.ones(1)
    }
    metadata = {
        "modelspec.title": text,
        "ss_base_model_version": text,
        "ss_tag_frequency": json.dumps({"a": {text: 1}}),
    }
    save_file(one, lora_file(folder), metadata)
    return folder


def lora_file(checkpoint: Path) -> Path:
    """The LoRA beside a checkpoint."""
    return checkpoint.parent / "lora" / f"l{FILE_NAME[:-1]}.safetensors"


def hostile_registry() -> Registry:
    """Return the registry with two more plugins: one with hostile texts, and a broken one."""
    there = default_registry()
    one = Input("scale", "number", help=EVIL, required=False)
    plugin = Plugin(f"evil{EVIL}", f"dist{EVIL}", f"1{EVIL}")
    manifest = Family(
        "evil",
        pipelines=(
            Pipeline("Evil", "evil:Evil", "evilize", f"line{EVIL}"),
            Pipeline("Evil2", "evil:Evil2", "evilize", "sdxl"),
            Pipeline("StableDiffusionPipeline", "evil:SD", "evilize", "evil"),
            Pipeline("EvilNeeds", "evil:E", "undeclared", "x", opens_as=EVIL, needs="wanted"),
        ),
        tasks=(Task("evilize", auto_class="AutoPipelineForEvil", aliases=(EVIL,), output=EVIL,
                    inputs=(one,), parameters=("scale",)),),
        conditions=(Condition(EVIL, "evil", "evil:Evil", (one,), EVIL),),
        addons=(AddOn("evil", "evil:Evil", (one,), EVIL),),
        engines=(Engine("evil", "evil:Evil"),),
        runners=(Runner("evil", "evil:Evil"),),
        commands=(Command("evil", "autopipe.cli.families:declare", f"% {EVIL} %s"),),
        readers=(Reader("evil", (EVIL,), "evil:Evil"),),
    )  # fmt: skip
    problem = Problem(replace(plugin, name="broken"), "broken", f"ValueError: {EVIL}", (EVIL,))
    return Registry([*there.installed, Installed(plugin, manifest)], [problem])


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    registry = hostile_registry()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("autopipe.registry._default", registry)
    found = list(registry.installed), [p for p in registry.problems if p.folders]
    monkeypatch.setattr("autopipe.cli.doctor.discover", lambda environ: found)
    return registry


def lines(checkpoint: Path) -> Iterator[list[str]]:
    """Yield command lines for all commands; unknown commands are only asked for help."""
    path = str(checkpoint)
    files = [str(checkpoint / "unet" / f"n{FILE_NAME}.txt"), f"none{EVIL}"]
    own = {
        "families": [[], ["--json"]],
        "doctor": [[], ["--json"]],
        "resolve": [[path], [path, "--json"], [DEMO, "--task", EVIL], [EVIL], [f"demo:{EVIL}"]],
        "inspect": [[path], [path, "--json"], [EVIL], [files[0]], [path + "/unet"]],
        "download": [
            [path, "--dry-run"], [path, "--dry-run", "--json"], [EVIL],
            [DEMO, "--without", EVIL], [DEMO, "--variant", EVIL], [DEMO, "--revision", EVIL],
        ],
        "convert": [
            [path, "-o", EVIL], [EVIL, "-o", "x"], [path, "-o", f"{EVIL}/x.safetensors"],
            [path, "-o", f"no{EVIL}.safetensors"], [DEMO, "-o", "x", "--prediction-type", EVIL],
            [files[0], "-o", "x"], [DEMO, "-o", "x", "--dtype", EVIL],
        ],
        "generate": [
            ["x", "--model", path, "--steps", "1", "--size", "32"],
            ["x", "--model", DEMO, "--size", "32", "--steps", "1", "--json", "--negative", RAW[:9]],
            ["x", "--model", EVIL], ["x", "--scheduler", EVIL], ["x", "--set", f"{EVIL}=1"],
            ["x", "--set", f"clip_skip={EVIL}"], ["x", "--task", EVIL], ["x", "--attach", EVIL],
            ["x", "--engine", EVIL], ["x", "--image", files[0]], ["x", "--image", files[1]],
            ["x", "-o", f"{EVIL}.jpg"], ["x", "-o", f"{EVIL}/x.jpg"], ["x", "--size", EVIL],
            ["x", "--memory", EVIL], ["x", "--device", EVIL], ["x", "--dtype", EVIL],
            [EVIL, "--size", "9"],
        ],
        "new": [[EVIL], ["one", "--task", EVIL], ["two", "--to", "to" + FILE_NAME]],
        "check": [[EVIL], [EVIL, "--json"]],
        "engines": [[], ["--json"]],
        "lora": [
            [str(lora_file(checkpoint))], [str(lora_file(checkpoint)), "--json"], [EVIL],
            [str(lora_file(checkpoint).parent), "--weight-name", EVIL], [DEMO, "--revision", EVIL],
        ],
        "batch": [[files[0], "-o", "b"], [EVIL, "-o", "b"], [files[1], "-o", EVIL]],
        "schema": [[], [EVIL], ["text2image", "--model", EVIL]],
        "serve": [["--port", EVIL], ["--model", EVIL], ["--model", f"a={EVIL}", "--port", "0"],
                  ["--folder", f"{files[0]}/x"], ["--key-file", EVIL], ["--host", EVIL]],
        "ui": [["--port", EVIL], ["--server", EVIL, "--port", "0"], ["--model", EVIL],
               ["--server", "http://localhost", "--loras", EVIL], ["--host", EVIL]],
        "show": [[EVIL], [files[0]], [files[0], files[1], "--json"]],
        "replay": [[EVIL], [files[0]]],
        "tune": [[EVIL], [DEMO, "--engine", EVIL]],
        "stubs": [["--to", "to" + FILE_NAME], ["--check", "--to", EVIL]],
    }  # fmt: skip
    yield [EVIL]
    yield ["--help"]
    yield [f"--{EVIL}"]
    for name in commands():
        yield [name, "--help"]
        yield [name, f"--{EVIL}=1"]
        for line in own.get(name, [[]]):
            yield [name, *line]
    assert set(commands()) <= {*own, "evil"}, "say here how the new command is called"


def check(text: str, line: list[str]) -> None:
    raw = {one for one in text if one not in "\n\r" and not one.isprintable()}
    assert not raw, (line, raw)
    if "%|" not in text:  # A progress bar returns to the start of its line.
        assert "\r" not in text, line


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_command_lets_it_through(
    encoding: str, checkpoint: Path, hostile: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in lines(checkpoint):
        if encoding != ENCODINGS[0] and line[0] == "generate" and "1" in line:
            continue  # They generate pictures; once is enough.
        out, err = (
            io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)
        )
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        code = main(line)
        assert code in (0, 1, 2), line
        for stream in (out, err):
            stream.flush()
            text = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
            check(text, line)
            assert "--json" in line or len(text) < 40_000, line
            if stream is err:
                assert "Traceback" not in text, line
                assert "Error: " not in text.partition("autopipe: ")[0], line
        text = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        if "--json" in line and code in (0, 1):
            assert text.isascii()
            json.loads(text, parse_constant=pytest.fail)


def test_a_table_of_very_many_files_is_cut(checkpoint: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "many"
    shutil.copytree(demo_folder("stable_diffusion", default_registry()), folder)
    for i in range(2000):
        (folder / "tokenizer" / f"a{i}.txt").touch()
    assert main(["inspect", str(folder), "--headers"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 600
    assert "more" in text


def test_the_settings_in_a_picture_are_clean(hostile: Registry, checkpoint: Path) -> None:
    line = ["generate", f"x{RAW[:16]}", "--model", str(checkpoint), "--steps", "1"]
    assert main([*line, "--size", "32", "-q", "-o", "picture.png"]) == 0
    with PIL.Image.open("picture.png") as picture:
        assert "pwned" in settings_in(picture.filename)["prompt"]
        for name, value in picture.text.items():
            check(name + value, line)


def test_what_programs_print_of_problems_and_errors_is_clean(hostile: Registry) -> None:
    for problem in hostile.problems:
        check(str(problem), [])
    with pytest.raises(autopipe.AutopipeError) as caught:
        hostile.resolve(EVIL)
    check(str(caught.value), [])


def test_a_traceback_is_clean(tmp_path: Path) -> None:
    source = (
        "from autopipe import Command, Manifest, hookimpl\n"
        "@hookimpl\n"
        "def autopipe_family():\n"
        "    return Manifest('torn', commands=(Command('torn', 'plugin_torn:declare'),))\n"
        "def declare(parser):\n"
        "    return run\n"
        "def run(arguments):\n"
        "    raise ZeroDivisionError('\\x1b[31m\\u202e\\ud83d' * 3)\n"
    )
    write_plugin(tmp_path, "torn", source)
    for line in (["torn"], ["--traceback", "inspect", "a\x1b[31m\u202eb"]):
        done = subprocess.run(
            [sys.executable, "-m", "autopipe", *line],
            capture_output=True,
            env=env(tmp_path, PYTHONIOENCODING="utf-8:strict", HF_HUB_OFFLINE="1"),
        )
        text = done.stderr.decode()
        assert done.returncode == 1
        assert "Traceback" in text
        check(text, line)


# Logs


def test_what_is_logged_is_clean_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = logger("autopipe.of_a_test")
    assert log is logging.getLogger("autopipe.of_a_test")
    assert len({*log.filters}) == len(logger("autopipe.of_a_test").filters) == 1

    class Untold:
        def __str__(self) -> str:
            raise RuntimeError

    log.warning("%s and %r", EVIL, [EVIL])
    log.warning(f"100 % of {EVIL}")
    log.warning("%s", "x" * 1_000_000)
    log.warning("%s", Untold())
    log.warning("%d", "text")
    assert len(caplog.records) == 5
    for record in caplog.records:
        check(record.getMessage(), [])
        assert len(record.getMessage()) < 5000


def sources() -> Iterator[tuple[Path, ast.Module]]:
    root = Path(__file__).parents[1]
    for folder in (root / "core/src", *root.glob("plugins/*/src")):
        for file in sorted(folder.rglob("*.py")):
            if "example" not in file.parts:
                yield file, ast.parse(file.read_text(encoding="utf-8"))


def test_there_is_one_way_out_for_prints_and_for_logs() -> None:
    """Check that all printing and logging goes through `say` and `logger`."""
    # logs.py hands programs their own loggers, by the names that the programs give.
    ways = {"print": {"text.py", "discovery.py"}, "getLogger": {"wording.py", "logs.py"}}
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert file.name in ways.get(name, {file.name}), f"{file}:{node.lineno} {name}"


def test_the_environment_variable_that_names_plugins_is_clean(tmp_path: Path) -> None:
    write_plugin(tmp_path, "named", "raise ValueError('\\x1b[31m')")
    done = subprocess.run(
        [sys.executable, "-m", "autopipe", "families"],
        capture_output=True,
        env={**env(tmp_path, AUTOPIPE_DEBUG="1"), "PYTHONIOENCODING": "ascii:strict"},
    )
    assert done.returncode == 0
    check(done.stderr.decode(), [])
    assert os.fsencode("dist-named") in done.stderr
