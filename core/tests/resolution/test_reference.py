"""Names of diffusers that are not here yet say so, and are absent all the same."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from typing import Any

import pytest
from support.relay import Coder, RelayPipeline, relay

import autopipe
from autopipe.config import register_to_config
from autopipe.errors import AutopipeError, NotHereYetError, NotHereYetImportError
from autopipe.resolution.reference import instead_of
from autopipe.scheduling import SchedulerMixin


class Plain(SchedulerMixin):
    @register_to_config
    def __init__(self, beta: float = 0.1) -> None:
        self.beta = beta


NAMES = ("QwenImagePipeline", "SanaPipeline", "BitsAndBytesConfig")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_that_it_is_not_here_yet(name: str) -> None:
    assert not hasattr(autopipe, name)
    with pytest.raises(NotHereYetError, match=rf"{name} yet, which diffusers has; \w+"):
        getattr(autopipe, name)
    with pytest.raises(NotHereYetImportError, match=rf"import {name} doesn't work yet"):
        exec(f"from autopipe import {name}")
    with pytest.raises(ImportError):
        importlib.import_module(f"autopipe.{name}")


def test_an_import_that_is_misspelt_says_what_was_meant() -> None:
    with pytest.raises(ImportError, match="Did you mean 'DiffusionPipeline'"):
        exec("from autopipe import DifusionPipeline")
    with pytest.raises(ImportError, match="Did you mean 'errors'"):
        exec("import autopipe.error")


def test_what_nobody_has_is_absent_as_ever() -> None:
    with pytest.raises(AttributeError, match="autopipe has no 'NoSuchThing'") as caught:
        autopipe.NoSuchThing  # noqa: B018
    assert not isinstance(caught.value, AutopipeError)
    with pytest.raises(ImportError, match="cannot import name 'NoSuchThing'"):
        exec("from autopipe import NoSuchThing")
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module("autopipe.no_such_module")
    assert importlib.util.find_spec("autopipe.no_such_module") is None


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (relay(), "enable_group_offload"),
        (relay(), "load_lora_into_unet"),
        (Coder(), "enable_parallelism"),
        (Coder(), "compile_repeated_blocks"),
        (Plain(), "get_config_dict"),
    ],
)
def test_a_method_says_so_and_is_absent(owner: Any, name: str) -> None:
    assert not hasattr(owner, name)
    assert getattr(owner, name, None) is None
    with pytest.raises(NotHereYetError, match=rf"has no {name} yet, which diffusers has; \w+"):
        getattr(owner, name)


@pytest.mark.parametrize("owner", [relay(), Coder(), Plain()])
def test_what_no_class_has_is_a_plain_error(owner: Any) -> None:
    with pytest.raises(AttributeError, match="object has no attribute 'no_such_thing'") as caught:
        owner.no_such_thing  # noqa: B018
    assert not isinstance(caught.value, AutopipeError)


def test_a_subclass_may_have_it() -> None:
    class Mine(RelayPipeline):
        @classmethod
        def from_single_file(cls, file: str) -> str:
            return file

        def load_lora_weights(self) -> int:
            return 1

    assert Mine.from_single_file("x") == "x"
    assert Mine(**relay().components).load_lora_weights() == 1


def test_every_entry_says_what_to_do() -> None:
    for kind in ("names", "methods", "community"):
        table = instead_of(kind)
        assert table
        assert all(len(text) > 10 for text in table.values())


def test_the_table_is_read_when_something_is_missing() -> None:
    script = (
        "import autopipe, sys; from autopipe.registry import default_registry\n"
        "default_registry().names(); autopipe.Task\n"
        "from autopipe.resolution.reference import instead_of as table\n"
        "assert not table.cache_info().currsize\n"
        "assert not hasattr(autopipe, 'QwenImagePipeline') and table.cache_info().currsize\n"
        "assert 'torch' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=300)
    assert ended.returncode == 0
