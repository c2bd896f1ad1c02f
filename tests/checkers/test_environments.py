"""What checkers know in environments where a family is absent, and of other authors' plugins."""

from __future__ import annotations

import os
import shutil
import site
import sys
import venv
from pathlib import Path

import pytest
from support.checkers import CHECKERS

import autopipe
from autopipe import Manifest, Pipeline, Task
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe_devkit.stubs import FILE, stub

each_checker = pytest.mark.parametrize("checker", CHECKERS)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A Python that finds what this one does, after the folder of packages given with it."""
    folder = tmp_path_factory.mktemp("environments") / "venv"
    venv.create(folder, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    inherited = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *site.getsitepackages()]
    inherited += [path for path in sys.path if path.endswith("site-packages")]
    (packages / "base.pth").write_text("\n".join(dict.fromkeys(filter(None, inherited))))
    return str(folder / "bin/python"), packages


@pytest.fixture
def program(packages: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MYPYPATH", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "program"
    folder.mkdir()
    return folder


@each_checker
def test_a_class_of_an_absent_family_may_be_anything(
    checker: str, packages: tuple[str, Path], program: Path
) -> None:
    python, site_packages = packages
    core = site_packages / "autopipe"
    shutil.copytree(Path(autopipe.__file__).parent, core, dirs_exist_ok=True)
    text = (core / "__init__.pyi").read_text(encoding="utf-8")
    (core / "__init__.pyi").write_text(
        text.replace("from autopipe_sdxl.", "from autopipe_not_here.")
    )
    try:
        (program / "app.py").write_text(
            "from autopipe import StableDiffusionPipeline, StableDiffusionXLPipeline\n"
            "\n"
            "def draw(pipe: StableDiffusionXLPipeline) -> None:\n"
            '    pipe("a hut", whatever=3).images[0].save("hut.png")\n'
            "\n"
            'draw(StableDiffusionXLPipeline.from_pretrained("somewhere"))\n'
            'StableDiffusionPipeline.from_pretrained("here")("a hut", whatever=3)  # flagged\n'
            "from autopipe import StableDiffusionXLPipelin  # flagged\n"
        )
        assert sorted(CHECKERS[checker](program, "", python)["app.py"]) == [7, 8]
    finally:
        shutil.rmtree(core)


STRANGER = {
    "__init__.py": "",
    "py.typed": "",
    "draw.py": (
        "from autopipe import DiffusionPipeline, ImagePipelineOutput\n"
        "class ZooPipeline(DiffusionPipeline):\n"
        "    def __call__(self, prompt: str) -> ImagePipelineOutput: ...\n"
    ),
    "calls.py": (
        "from typing import Protocol\n"
        "from autopipe import ImagePipelineOutput\n"
        "class Unprompted(Protocol):\n"
        "    def __call__(self, *, steps: int) -> ImagePipelineOutput: ...\n"
    ),
}
ZOO = Manifest(
    name="zoo",
    pipelines=(Pipeline("ZooPipeline", "autopipe_zoo.draw:ZooPipeline", "unprompted", "zoo"),),
    tasks=(
        Task(
            "unprompted",
            auto_class="AutoPipelineForUnprompted",
            protocol="autopipe_zoo.calls:Unprompted",
        ),
    ),
)
USE = """\
from autopipe import AutoPipelineForUnprompted, DiffusionPipeline, ZooPipeline, errors

ZooPipeline.from_pretrained("x")("a lion").images[0].save("lion.png")
ZooPipeline.from_pretrained("x")("a lion", steps=3)  # flagged
pipe = AutoPipelineForUnprompted.from_pretrained("x").to("cpu")
pipe(steps=3).images[0].save("lion.png")
pipe(steps="3")  # flagged
DiffusionPipeline.from_pipe(pipe)
print(errors.ArgumentError)
from autopipe import ZoPipeline  # flagged
from autopipe_zoo.draw import ZooPipeline as SameOne
same: SameOne = ZooPipeline.from_pretrained("x")
"""


@each_checker
def test_a_local_stub_tells_of_other_authors_names_and_auto_classes(
    checker: str, packages: tuple[str, Path], program: Path
) -> None:
    python, site_packages = packages
    package = site_packages / "autopipe_zoo"
    package.mkdir(exist_ok=True)
    for name, text in STRANGER.items():
        (package / name).write_text(text)
    registry = Registry([Installed(Plugin("zoo", "autopipe-zoo", "1.0"), ZOO)])
    file = program / "typings" / FILE
    file.parent.mkdir(parents=True)
    file.write_text(stub(registry, "autopipe stubs"))
    (program / "app.py").write_text(USE)
    # pyright looks into `typings` by itself.
    found = CHECKERS[checker](program, "typings" if checker == "mypy" else "", python)
    assert {name: sorted(lines) for name, lines in found.items()} == {"app.py": [4, 7, 10]}
