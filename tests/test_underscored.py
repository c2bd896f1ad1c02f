"""No distribution uses or overrides underscored names of another one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.underscored import Sources, Use

ROOT = Path(__file__).parents[1]
EXAMPLE = "plugins/devkit/src/autopipe_devkit/scaffold/example/src"

OF_THE_REFERENCE = {
    "_callback_tensor_inputs": "what step callbacks may ask for",
    "_encode_prompt": "programs with a loop of their own call it, with its older result",
    "_exclude_from_cpu_offload": "networks that model offload leaves on the device",
    "_execution_device": "where calls compute",
    "_get_add_time_ids": "programs with a loop of their own call it",
    "_guidance_scale": "such programs set it",
    "_interrupt": "step callbacks set it",
    "_keep_in_fp32_modules": "the parts of a network that stay in float32",
    "_optional_components": "components that may be None",
    "_supports_gradient_checkpointing": "what training scripts ask of a network",
}
"""Names that programs and subclasses for diffusers use, which we therefore keep."""


@pytest.fixture(scope="module")
def uses() -> list[Use]:
    """The uses of underscored names among the distributions and the programs beside them."""
    plugins = [*ROOT.glob("plugins/*/src"), *ROOT.glob("tests/strangers/*/src")]
    programs = {name: ROOT / name for name in ("benchmarks", "tools")}
    dists = {path.parent.name: path for path in plugins}
    core = {"core": ROOT / "core/src", "example": ROOT / EXAMPLE}
    return Sources({**core, **dists, **programs}).uses()


def test_no_distribution_uses_underscored_names_of_another(uses: list[Use]) -> None:
    found = [use for use in uses if use.name not in OF_THE_REFERENCE]
    told = [f"{u.path.relative_to(ROOT)}:{u.line} uses {u.name} of {u.owner}" for u in found]
    assert not told, "\n".join(told)


def test_the_names_of_the_reference_are_used(uses: list[Use]) -> None:
    assert {use.name for use in uses} >= set(OF_THE_REFERENCE)


def test_the_names_of_the_reference_are_told() -> None:
    page = (ROOT / "docs/api/steps.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(_\w+)` \| (.*) \|$", page, re.M)) == OF_THE_REFERENCE


BASE = """
def _helper(): ...
class Base:
    _limit = 1
    def _step(self): ...
class Middle(Base):
    def public(self): self._state = 1
"""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from theirs.base import _helper", "_helper"),
        ("from theirs.base import Base\nclass Mine(Base):\n  def _step(self): ...", "_step"),
        ("from theirs.base import Middle\nclass Mine(Middle):\n  _limit = 2", "_limit"),
        ("from theirs.base import Base\nclass Mine(Base):\n  def f(self): self._step()", "_step"),
        ("from theirs import base\ndef f(one): return one._state", "_state"),
        ("from theirs.base import Base\nlimit = Base._limit\ndef _limit(): ...", "_limit"),
        ("from theirs.base import Base\nclass Mine(Base):\n  _n = Base._limit", "_limit"),
    ],
)
def test_a_use_is_found(source: str, name: str, tmp_path: Path) -> None:
    assert [use.name for use in written(source, tmp_path).uses()] == [name]


@pytest.mark.parametrize(
    "source",
    [
        "from theirs.base import Base\nclass Mine(Base):\n  def _mine(self): self._mine()",
        "def _step(): ...\ndef f(one): return one._step",
        "class Mine:\n  def _step(self): self.__dict__",
        "def f(network): return network._modules",
    ],
)
def test_what_is_ones_own_is_not(source: str, tmp_path: Path) -> None:
    assert not written(source, tmp_path).uses()


def written(source: str, folder: Path) -> Sources:
    """Write two distributions, one with `source` as its module, and return them."""
    for name, text in (("theirs/theirs/base.py", BASE), ("mine/mine.py", source)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    return Sources({"theirs": folder / "theirs", "mine": folder / "mine"})
