"""Config: recorded at construction, immutable, carried between classes that differ."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autopipe.config import ConfigMixin, FrozenConfig, read_json_object, register_to_config
from autopipe.errors import AutopipeError, ConfigError


class Alpha(ConfigMixin):
    config_name = "thing.json"
    ignore_for_config = ("secret",)

    @register_to_config
    def __init__(self, size: int = 1, mode: str = "a", secret: Any = None, _hidden: int = 0):
        self.size = size


class Beta(ConfigMixin):
    config_name = "thing.json"

    @register_to_config
    def __init__(self, mode: str = "b", depth: int = 5):
        self.depth = depth


def test_arguments_and_defaults_are_recorded() -> None:
    config = Alpha(3, secret=object(), _hidden=9).config
    assert (config.size, config.mode) == (3, "a")
    assert "secret" not in config
    assert "_hidden" not in config


def test_a_config_can_not_be_changed() -> None:
    config = Alpha().config
    for change in (
        lambda: config.update(size=2),
        lambda: config.__setitem__("size", 2),
        lambda: setattr(config, "size", 2),
        lambda: config.pop("size"),
    ):
        with pytest.raises(TypeError, match="from_config"):
            change()
    with pytest.raises(AttributeError, match="'sice'"):
        config.sice  # noqa: B018
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_values_given_travel_through_another_class_and_defaults_do_not() -> None:
    beta = Beta.from_config(Alpha(size=4).config, depth=6)
    assert (beta.config.mode, beta.depth) == ("b", 6)
    assert Alpha.from_config(beta.config).size == 4
    assert Beta.from_config(Alpha(mode="x").config).config.mode == "x"


def test_the_release_that_wrote_a_config_is_remembered_and_not_written_again() -> None:
    made = Alpha.from_config({"size": 2, "_diffusers_version": "0.6.0"})
    assert made.config["_diffusers_version"] == "0.6.0"
    assert json.loads(made.to_json_string())["_diffusers_version"] != "0.6.0"


def test_unused_keywords_can_be_returned() -> None:
    made, unused = Alpha.from_config({"size": 2}, return_unused_kwargs=True, colour="red")
    assert made.size == 2
    assert unused == {"colour": "red"}


def test_a_path_is_refused_with_the_way_to_load_it() -> None:
    with pytest.raises(ConfigError, match="from_pretrained"):
        Alpha.from_config("some/folder")  # type: ignore[arg-type]


def test_saved_and_loaded(tmp_path: Path) -> None:
    class Odd(ConfigMixin):
        config_name = "odd.json"

        @register_to_config
        def __init__(self, array: Any = None, path: Any = None, pair: Any = (1, 2)):
            pass

    Odd(np.array([1.5, 2.0]), Path("a/b")).save_config(tmp_path / "deep")
    found = Odd.load_config(tmp_path / "deep")
    assert found["_class_name"] == "Odd"
    assert (found["array"], found["path"], found["pair"]) == ([1.5, 2.0], "a/b", [1, 2])
    assert "_use_default_values" not in found
    assert Odd.load_config(tmp_path, subfolder="deep") == found


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[1]", "list"),
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (None, "not exist"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | None, part: str) -> None:
    file = tmp_path / "config.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=part) as caught:
        read_json_object(file)
    assert "config.json" in str(caught.value)
    assert isinstance(caught.value, (AutopipeError, OSError))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_json_object(file)


def test_tensors_are_saved_as_lists() -> None:
    class Holder(ConfigMixin):
        @register_to_config
        def __init__(self, betas: Any = None):
            pass

    assert json.loads(Holder(torch.ones(2)).to_json_string())["betas"] == [1.0, 1.0]


def test_frozen_config_is_a_dict() -> None:
    assert dict(FrozenConfig(a=1)) == {"a": 1}
