"""Every hint in a message is correct.

The hints are collected from the strings of the sources: commands, keywords, options, environment
variables. Everything that they name must exist. Hints that were once wrong are followed here.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.dists import python, write_plugin
from transformers import BertConfig, BertModel

import autopipe
from autopipe import AutoPipelineForText2Image, DiffusionPipeline
from autopipe.checkpoint.address import demo_folder
from autopipe.checkpoint.options import KEYWORDS
from autopipe.cli import main
from autopipe.cli.parser import build, commands
from autopipe.errors import AutopipeError, nearest
from autopipe.registry import default_registry
from autopipe.resolution.hints import dist_of, pip_line, published, published_names
from autopipe_requests.request import Request

ROOT = Path(__file__).parents[1]
SOURCES = [
    file
    for folder in (ROOT / "core/src", *ROOT.glob("plugins/*/src"))
    for file in sorted(folder.rglob("*.py"))
    if "example" not in file.parts
]
DEMO = "demo:stable_diffusion"


def texts() -> Iterator[tuple[str, str]]:
    """Yield the place and text of every string in the sources that isn't a docstring.

    The expressions of f-strings are replaced with `{}`.
    """
    for file in SOURCES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        parts = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        docs = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                yield where, "".join(str(getattr(v, "value", "{}"))
                                     if isinstance(v, ast.Constant) else "{}"
                                     for v in node.values)  # fmt: skip
            elif isinstance(getattr(node, "value", None), str) and id(node) not in parts | docs:
                yield where, node.value


TEXTS = [(where, text) for where, text in texts() if " " in text]


def found(pattern: str) -> dict[str, str]:
    """Return the distinct matches of a pattern in the texts, with a place for each."""
    return {match: where for where, text in TEXTS for match in re.findall(pattern, text)}


def test_every_command_that_is_named_is_there() -> None:
    named = found(r"(?:[`'\n]|run |^)autopipe (?!has )([a-z]+)")
    assert {"doctor", "new", "download"} <= named.keys()
    for name, where in named.items():
        assert name in commands(), where


def test_every_option_that_is_named_is_there() -> None:
    options = {"--help", "--version", "--force-reinstall", "--no-deps", "--upgrade"}
    for name in commands():
        chooser = next(a for a in build([name])._actions if a.choices and name in a.choices)
        options |= chooser.choices[name]._option_string_actions.keys()
    for name, where in found(r"(?<![\w-])--[a-z][a-z-]+").items():
        assert name in options, where


def test_every_environment_variable_that_is_named_is_read() -> None:
    words = {word for file in SOURCES for word in re.findall(r"AUTOPIPE_[A-Z_]+", file.read_text())}
    named = found(r"AUTOPIPE_[A-Z_]+")
    read = "\n".join(file.read_text(encoding="utf-8") for file in SOURCES)
    for name in words | named.keys():
        assert re.search(rf'"{name}"', read), name


def test_every_keyword_that_is_to_be_passed_is_one() -> None:
    names = {
        argument.arg
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.Lambda))
        for argument in (*node.args.args, *node.args.kwonlyargs)
    }
    names |= {
        node.target.id
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for name, where in found(r"(?:pass|give|leave out|set|or) ([a-z]\w+)=").items():
        assert name in {*names, *KEYWORDS}, (name, where)


def test_every_name_that_is_to_be_imported_or_called_is_there() -> None:
    for name, where in found(r"\bautopipe\.([a-z_]+)\b(?!\.)").items():
        places = (ROOT / "core/src/autopipe" / f"{name}.py", ROOT / "core/src/autopipe" / name)
        brought = default_registry().of("module")
        assert name in brought or any(place.exists() for place in places), where
    methods = {
        node.name
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    theirs = {"from_single_file", "resize_token_embeddings", "main"}
    for name, where in found(r"(?:call|use|by|with) ([a-z]\w+)\(\)?").items():
        assert name in methods | theirs | set(dir(torch.Tensor)) | set(dir(torch.nn.Module)), where


# Packages


@pytest.mark.parametrize("name", sorted({*published_names()}))  # Several may declare one task.
def test_the_package_that_is_named_for_a_class_has_it(name: str) -> None:
    dist = dist_of(name, "name")
    assert dist is not None
    registry = default_registry()
    owners = {one.plugin.dist for one in registry.installed if _offers(one.manifest, name)}
    assert dist in owners


def _offers(manifest: object, name: str) -> bool:
    fields = ("pipelines", "components", "exports")
    entries = (entry.name for field in fields for entry in getattr(manifest, field))
    return name in {*entries, *(task.auto_class for task in manifest.tasks)}


@pytest.mark.parametrize("dist", sorted([*published(), "autopipe-core"]))
def test_the_pip_line_of_a_clone_names_projects_of_that_name(
    dist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe.resolution.hints._clone", lambda: ROOT)
    line = shlex.split(pip_line(dist))
    assert line[:4] == ["python", "-m", "pip", "install"]
    names = [
        re.search(r'^name = "(.+)"$', (Path(one) / "pyproject.toml").read_text(), re.M)[1]
        for one in line[4:]
    ]
    assert names[-1] == dist
    assert len(names) == len(set(names))


def test_a_broken_target_names_the_distribution_of_its_module(tmp_path: Path) -> None:
    source = (
        "from autopipe import Command, Export, Manifest, hookimpl\n"
        "@hookimpl\n"
        "def autopipe_family():\n"
        "    return Manifest('odd', exports=(Export('Odd', 'plugin_odd:Odd'),"
        " Export('Needy', 'plugin_needy:Needy')),"
        " commands=(Command('odd', 'plugin_odd:odd'),))\n"
        "def odd(parser):\n"
        "    raise ValueError\n"
    )
    write_plugin(tmp_path, "odd", source)
    (tmp_path / "plugin_needy.py").write_text("import a_module_that_is_absent\n")
    for name in ("odd", "needy"):
        info = tmp_path / "dist_odd-1.0.dist-info"
        with (info / "top_level.txt").open("a") as file:
            file.write(f"plugin_{name}\n")
    again = "python -m pip install --force-reinstall --no-deps dist-odd"
    assert again in python(["-m", "autopipe", "odd"], tmp_path).stderr
    assert again in python(["-c", "from autopipe import Odd"], tmp_path).stderr
    # pip installs missing requirements only without --no-deps.
    needy = python(["-c", "from autopipe import Needy"], tmp_path).stderr
    assert "python -m pip install dist-odd" in needy


def test_the_cure_for_damaged_metadata_is_to_delete_what_is_in_the_way(tmp_path: Path) -> None:
    source = "from autopipe import Family, hookimpl\n@hookimpl\ndef autopipe_family():\n"
    write_plugin(tmp_path, "torn", source + "    return Family('torn')\n")
    folder = tmp_path / "dist_torn-1.0.dist-info"
    (folder / "METADATA").write_bytes(b"\xff")
    told = json.loads(python(["-m", "autopipe", "doctor", "--json"], tmp_path).stdout)
    (finding,) = (f for f in told["findings"] if "torn" in f["subject"])
    delete, line = finding["hint"].split(", then ")
    assert delete == f"delete {folder}"
    shutil.rmtree(delete.removeprefix("delete "))
    assert line.startswith("python -m pip install")
    write_plugin(tmp_path, "torn", source + "    return Family('torn')\n")  # as pip does
    told = json.loads(python(["-m", "autopipe", "doctor", "--json"], tmp_path).stdout)
    assert not [f for f in told["findings"] if "torn" in f["subject"]]


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    return Path(shutil.copytree(demo_folder("stable_diffusion", default_registry()), folder))


def edited(folder: Path, **entries: object) -> Path:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **entries}))
    return folder


def refusal(folder: Path, cls: type = DiffusionPipeline, **keywords: object) -> str:
    with pytest.raises(AutopipeError) as caught:
        cls.from_pretrained(folder, **keywords)
    return str(caught.value)


def test_a_class_that_nobody_has_can_be_passed_as_an_object(checkpoint: Path) -> None:
    edited(checkpoint, text_encoder=["transformers", "BertModel"])
    told = refusal(checkpoint)
    assert "No installed package provides BertModel." in told
    assert "pass it as text_encoder=" in told
    width = DiffusionPipeline.from_pretrained(DEMO).unet.config.cross_attention_dim
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    loaded = BertModel(BertConfig(hidden_size=width, **small))
    pipe = DiffusionPipeline.from_pretrained(checkpoint, text_encoder=loaded)
    assert pipe.text_encoder is loaded


@pytest.mark.parametrize("name", ["WanPipeline", "QwenImagePipeline", "NeverHeardOf"])
@pytest.mark.parametrize("cls", [DiffusionPipeline, AutoPipelineForText2Image])
def test_a_pipeline_that_nobody_has(name: str, cls: type, checkpoint: Path, tmp_path) -> None:
    told = refusal(edited(checkpoint, _class_name=name), cls)
    assert told.startswith(f"AutoPipeline can't find a pipeline linked to {name} for None. ")
    assert f"No installed package provides {name}. " in told
    assert "Did you mean" not in told
    (line,) = re.findall(r"'autopipe (new) NAME'", told)
    assert main([line, "wan", "--to", str(tmp_path / "wan")]) == 0


def test_a_misspelt_pipeline_is_corrected_by_what_is_said(checkpoint: Path) -> None:
    told = refusal(edited(checkpoint, _class_name="StableDiffusionPipelin"))
    (meant,) = re.findall(r"Did you mean '(\w+)'\?", told)
    pipe = DiffusionPipeline.from_pretrained(edited(checkpoint, _class_name=meant))
    assert type(pipe) is autopipe.StableDiffusionPipeline


def test_near_names_are_of_one_kind() -> None:
    known = ["IFPipeline", "DDPMScheduler", "UNet2DConditionModel", "StableDiffusionPipeline"]
    for name in ("QwenImagePipeline", "DDPMPipeline", "WanModel", "Flow"):
        assert nearest(name, known) == ""
    assert "'UNet2DConditionModel'" in nearest("UNet2dConditionModel", known)
    assert "'StableDiffusionPipeline'" in nearest("StableDifusionPipeline", known)
    assert "'safety_checker'" in nearest("safety_cheker", ["vae", "safety_checker"])


def test_a_single_file_is_not_sent_in_a_circle(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    save_file({"model.diffusion_model.out.2.weight": torch.zeros(1)}, folder / "x.safetensors")
    told = refusal(folder)
    assert "x.safetensors" in told
    assert "give the path of that file" in told
    told = refusal(folder / "x.safetensors")
    assert "folder of a checkpoint" not in told
    for step in ("from_single_file", "save_pretrained('FOLDER')"):
        assert step in told


def test_offline_the_way_out_is_the_switch(tmp_path: Path) -> None:
    line = ["-m", "autopipe", "download", "owner/name", "--cache-dir", str(tmp_path)]
    done = python(line, HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert "unset HF_HUB_OFFLINE and run `autopipe download owner/name`" in done.stderr


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("DPM++", "DPMSolverMultistep"), ("DPM++ 2M Karras", "DPMSolverMultistep"),
        ("dpmpp_2m", "DPMSolverMultistep"), ("Euler a", "EulerAncestralDiscrete"),
        ("euler", "EulerDiscrete"), ("k_lms", "LMSDiscrete"), ("UniPC", "UniPCMultistep"),
        ("Heun", "HeunDiscrete"), ("PLMS", "PNDM"), ("DPM2 a Karras", "KDPM2AncestralDiscrete"),
        ("DEIS", "DEISMultistep"), ("DDIN", "DDIM"), ("EulerDiscret", "EulerDiscrete"),
    ],
)  # fmt: skip
def test_a_scheduler_by_its_name_elsewhere(asked: str, meant: str, capsys, monkeypatch) -> None:
    reached = []

    def load(request: Request, *_: object, **how: object) -> None:
        reached.append(request.scheduler.name)
        raise AutopipeError("reached")

    monkeypatch.setattr("autopipe_requests.opening.load", load)
    assert main(["generate", "x", "--scheduler", asked, "-q"]) == 2
    if not reached:
        assert f"Did you mean '{meant}'?" in capsys.readouterr().err
    assert main(["generate", "x", "--scheduler", meant, "-q"]) == 2
    assert capsys.readouterr().err.endswith("autopipe: reached\n")
    assert set(reached) == {f"{meant}Scheduler"}


def test_prefer_settles_what_doctor_finds(tmp_path: Path) -> None:
    source = (
        "from autopipe import Engine, Manifest, hookimpl\n"
        "@hookimpl\n"
        "def autopipe_family():\n"
        "    return Manifest('{0}', engines=(Engine('fast', 'plugin_{0}:Fast'),))\n"
    )
    for name in ("one", "two"):
        write_plugin(tmp_path, name, source.format(name))
    line = ["-m", "autopipe", "doctor", "--json"]
    (finding,) = (
        f for f in json.loads(python(line, tmp_path).stdout)["findings"] if f["kind"] == "duplicate"
    )
    name, chosen = re.search(r"set (\w+)=([\w-]+)", finding["hint"]).groups()
    show = "from autopipe.registry import default_registry as d; print(d().entry('engine', 'fast'))"
    assert "two kinds" not in python(["-c", show], tmp_path).stdout
    done = python(["-c", show], tmp_path, **{name: chosen})
    assert f"plugin_{chosen.removeprefix('dist-')}:Fast" in done.stdout


def test_sources_are_found() -> None:
    assert len(SOURCES) > 150
    assert len(TEXTS) > 500
