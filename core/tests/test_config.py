"""Config: recorded at construction, checked, carried between classes that differ."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autopipe.config import ConfigMixin, FrozenConfig, register_to_config
from autopipe.errors import ArgumentTypeError, ConfigError


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


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(size=2),
        lambda config: config.pop("size"),
        lambda config: config.clear(),
        lambda config: config.setdefault("x", 2),
        lambda config: config.__delitem__("size"),
        lambda config: delattr(config, "size"),
        lambda config: FrozenConfig(config).__setitem__("size", 2),
    ],
)
def test_what_is_not_set_one_by_one_is_refused(change: Any) -> None:
    made = Alpha()
    with pytest.raises(ArgumentTypeError, match="register_to_config"):
        change(made.config)
    assert made.config["size"] == 1


def test_an_entry_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'sice'"):
        Alpha().config.sice  # noqa: B018
    assert Alpha().config.get("sice") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda made: setattr(made.config, "mode", "b"),
        lambda made: made.config.__setitem__("mode", "b"),
        lambda made: made.register_to_config(mode="b"),
    ],
)
def test_an_entry_is_set_for_one_object(change: Any) -> None:
    made, other = Alpha(size=3), Alpha(size=3)
    twin = copy.deepcopy(made)
    change(made)
    assert (made.config.mode, made.config["mode"]) == ("b", "b")
    assert (twin.config.mode, other.config.mode) == ("a", "a")
    # What was set is no default any more, so another class takes it over.
    assert Beta.from_config(made.config).config.mode == "b"
    assert json.loads(made.to_json_string())["mode"] == "b"


def test_an_entry_is_set_in_a_new_name_and_checked_under_a_known_one() -> None:
    made = Alpha()
    made.config.extra = 5
    made.register_to_config(more=6)
    assert (made.config["extra"], made.config.more) == (5, 6)
    for change in (
        lambda: setattr(made.config, "size", "x"),
        lambda: made.register_to_config(size=None),
        lambda: Alpha(size=2.5),
        lambda: Alpha.from_config({"size": [1]}),
    ):
        with pytest.raises(ConfigError, match="Alpha can't have size = "):
            change()
    assert made.config.size == 1


def test_copies_and_pickles_of_a_config_are_its_like() -> None:
    config = Alpha(size=4).config
    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config
        twin.size = 5
        assert (twin.size, config.size) == (5, 4)
        with pytest.raises(ConfigError):
            twin.size = "x"
    assert {**config} == dict(config)


def test_numbers_of_other_types_are_taken_exactly() -> None:
    for value in (2.0, np.int64(2), np.float32(2), torch.tensor(2), np.array(2)):
        made = Alpha(size=value)
        assert type(made.size) is type(made.config.size) is int
        assert made.size == 2


def test_what_a_class_does_not_declare_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Alpha got an unexpected keyword argument 'sise'"):
        Alpha(sise=2)  # type: ignore[call-arg]
    with pytest.raises(ArgumentTypeError, match=r"Alpha .*positional"):
        Alpha(1, "a", None, 0, 5)  # type: ignore[call-arg]


def test_the_private_entries_of_a_whole_config_are_left_out() -> None:
    """A program gives `**other.config` to a class that has the same parameters."""
    made = Alpha.from_config({"size": 3, "_class_name": "Other", "_diffusers_version": "0.1"})
    again = Alpha(**made.config)
    assert again.size == 3
    assert Alpha.from_config({}, **made.config).size == 3
    assert Alpha.from_config(made.config, _commit_hash="x", _strange=1).size == 3
    _, unused = Alpha.from_config({}, return_unused_kwargs=True, **made.config)
    assert unused == {}
    assert Alpha(_hidden=3, _unknown=4).config.size == 1


def test_the_class_that_a_config_is_of_now() -> None:
    assert Alpha.from_config({"_class_name": "Other"}).config._class_name == "Alpha"
    assert "_class_name" not in Alpha().config


def test_values_of_the_config_are_read_from_the_object_with_a_warning() -> None:
    made = Alpha(mode="c")
    with pytest.warns(FutureWarning, match=r"write \.config\.mode") as caught:
        assert made.mode == "c"
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made.size == 1
        assert not hasattr(made, "colour")
        assert not hasattr(made, "_use_default_values")
        assert not hasattr(object.__new__(Alpha), "mode")
        copy.deepcopy(pickle.loads(pickle.dumps(made)))
    with pytest.raises(AttributeError, match="'Alpha' object has no attribute 'colour'"):
        made.colour  # noqa: B018


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


def test_from_config_takes_a_path_with_a_warning(tmp_path: Path) -> None:
    Alpha(size=7).save_config(tmp_path / "inner")
    with pytest.warns(FutureWarning, match="load_config") as caught:
        made = Alpha.from_config(str(tmp_path), subfolder="inner", mode="z")
    assert caught[0].filename == __file__
    assert (made.size, made.config.mode) == (7, "z")
    with pytest.warns(FutureWarning):
        made, unused = Alpha.from_config(tmp_path / "inner", True, colour=1)
    assert (made.size, unused["colour"]) == (7, 1)
    with pytest.warns(FutureWarning), pytest.raises(ConfigError, match="not exist"):
        Alpha.from_config("some/folder")
    for wrong in (None, 5, ["size"]):
        with pytest.raises(ConfigError, match=r"takes a mapping.*from_pretrained"):
            Alpha.from_config(wrong)  # type: ignore[arg-type]


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
    assert Odd.load_config(tmp_path / "deep", return_unused_kwargs=True, x=1) == (found, {"x": 1})


def test_tensors_are_saved_as_lists() -> None:
    class Holder(ConfigMixin):
        @register_to_config
        def __init__(self, betas: Any = None):
            pass

    assert json.loads(Holder(torch.ones(2)).to_json_string())["betas"] == [1.0, 1.0]


def test_frozen_config_is_a_dict() -> None:
    assert dict(FrozenConfig(a=1)) == {"a": 1}


def test_a_config_that_can_not_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Alpha(size=1).save_config(tmp_path)

    def full(self: Path, text: str, **keywords: Any) -> None:
        with self.open("w") as stream:
            stream.write(text[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        Alpha(size=3).save_config(tmp_path)
    assert Alpha.load_config(tmp_path)["size"] == 1
    assert [one.name for one in tmp_path.iterdir()] == ["thing.json"]


@pytest.mark.parametrize("place", [None, 5, b"folder"])
def test_a_config_is_saved_in_a_folder(place: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"save_directory=.*give a folder"):
        Alpha().save_config(place)
