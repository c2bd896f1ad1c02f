"""Modules below `autopipe` that packages bring."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import autopipe
from autopipe import registry
from autopipe.manifest import Manifest, Module
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch):
    """A package `zoo_names` whose manifest brings `autopipe.animals` and names of utils."""
    package = tmp_path / "zoo_names"
    (package / "animals").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "animals" / "__init__.py").write_text("from .cats import Cat\n")
    (package / "animals" / "cats.py").write_text("class Cat: pass\n")
    (package / "utils").mkdir()
    (package / "utils" / "__init__.py").write_text("def purr(): return 'purr'\n")
    (package / "utils" / "talking.py").write_text("LOUD = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    manifest = Manifest(
        "zoo_names",
        modules=(Module("animals", "zoo_names.animals"), Module("utils", "zoo_names.utils")),
    )
    default = Registry([Installed(Plugin("zoo_names", "autopipe-zoo-names", "1"), manifest)])
    monkeypatch.setattr(registry, "_default", default)
    yield package
    for name in [n for n in sys.modules if "animals" in n or "zoo_names" in n or "talking" in n]:
        del sys.modules[name]
    for name in ("animals",):
        autopipe.__dict__.pop(name, None)
    autopipe.utils.__dict__.pop("talking", None)
    importlib.invalidate_caches()


def test_a_module_and_those_below_it_are_the_ones_of_the_package(zoo) -> None:
    import autopipe.animals
    import autopipe.animals.cats
    from autopipe import animals
    from autopipe.animals import Cat
    from autopipe.animals.cats import Cat as Same

    assert Cat is Same is importlib.import_module("zoo_names.animals.cats").Cat
    assert animals is importlib.import_module("zoo_names.animals")
    assert animals.__spec__.name == "zoo_names.animals"
    assert sys.modules["autopipe.animals.cats"] is sys.modules["zoo_names.animals.cats"]
    assert "animals" in dir(autopipe)


def test_names_and_modules_that_a_core_module_lacks_come_from_the_package(zoo) -> None:
    from autopipe.utils import load_image, purr, talking
    from autopipe.utils.talking import LOUD

    assert load_image.__module__ == "autopipe.utils"
    assert purr() == "purr"
    assert LOUD == talking.LOUD == 3


@pytest.mark.parametrize(
    "line",
    ["import autopipe.animals.dogs", "from autopipe.animals import Dog", "import autopipe.plants",
     "from autopipe.utils import bark", "import autopipe.utils.bark"],
)  # fmt: skip
def test_what_nobody_brings_is_an_import_error(zoo, line: str) -> None:
    with pytest.raises(ImportError):
        exec(line)


def test_a_broken_module_says_which_package_to_repair(zoo) -> None:
    (zoo / "animals" / "__init__.py").write_text("raise RuntimeError('no food')\n")
    with pytest.raises(Exception, match=r"no food.*Run: "):
        import autopipe.animals  # noqa: F401


@pytest.mark.parametrize("line", ["import autopipe.animals", "from autopipe import animals",
                                  "import autopipe.animals.cats"])  # fmt: skip
def test_a_module_of_a_package_that_is_not_installed_names_the_package(monkeypatch, line) -> None:
    table = {"autopipe-zoo-names": {"module": ["animals"]}}
    monkeypatch.setattr("autopipe.resolution.hints.published", lambda: table)
    with pytest.raises(ImportError, match=r"install.*autopipe-zoo-names"):
        exec(line)


def test_a_target_that_is_not_a_module_is_a_flaw() -> None:
    from autopipe.resolution.flaws import flaws

    found = list(flaws(Manifest("zoo", modules=(Module("animals", "zoo:animals"),))))
    assert found == ["the target 'zoo:animals' of animals is not a module"]
