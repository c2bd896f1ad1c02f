"""Class to image with a transformer: classes and their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe
from autopipe import DiffusionPipeline, DiTPipeline
from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.cli.checkpoint import parts
from autopipe.errors import ArgumentError, AutopipeError, ConfigError
from autopipe.registry import default_registry

from .small import NAMES

CALL: dict[str, Any] = {"num_inference_steps": 2, "output_type": "pt"}


@pytest.fixture(scope="module")
def pipe() -> Any:
    from .small import small

    return small("DiTPipeline")


def drawn(pipe: Any, seed: Any = 0, **call: Any) -> Any:
    seeds = seed if isinstance(seed, list) else [seed]
    generator = [torch.Generator().manual_seed(one) for one in seeds]
    return pipe(**{**CALL, **call}, generator=generator).images


def test_classes_have_numbers_and_names(pipe: Any) -> None:
    assert pipe.labels == {"cat": 0, "dog": 2, "kitty": 0}
    assert pipe.get_label_ids(["dog", "kitty"]) == [2, 0]
    assert pipe.get_label_ids("dog") == [2]
    expected = drawn(pipe, class_labels=2)
    for labels in ("dog", [2], ["dog"], torch.tensor(2), torch.tensor([2])):
        assert torch.equal(drawn(pipe, class_labels=labels), expected)
    assert not torch.allclose(drawn(pipe, class_labels="cat"), expected)


def test_a_list_is_one_image_each(pipe: Any) -> None:
    both = drawn(pipe, seed=[3, 4], class_labels=["cat", 7])
    for row, (seed, label) in enumerate(((3, 0), (4, 7))):
        torch.testing.assert_close(both[row : row + 1], drawn(pipe, seed=seed, class_labels=label))


def test_classes_that_are_not_given_are_drawn_after_the_noise(pipe: Any) -> None:
    seen: list[Any] = []
    run = pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((args[0], kwargs["class_labels"])),
        with_kwargs=True,
    )
    try:
        for labels in (None, 5):
            drawn(pipe, seed=[1, 2], class_labels=labels, batch_size=2)
    finally:
        run.remove()
    (noise, labels), _, (same, given), _ = seen
    assert torch.equal(noise, same)
    assert labels[:2].tolist() == given[:2].tolist() == [1000, 1000]
    assert given[2:].tolist() == [5, 5]
    assert len(set(labels[2:].tolist()) - {5, 1000}) == 2


def test_guidance_leads_away_from_no_class_whatever_the_number_of_classes() -> None:
    """The class of none is the one after the last; diffusers takes 1000."""
    from .small import small

    pipe = small("DiTPipeline", num_embeds_ada_norm=3)
    seen: list[Any] = []
    pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["class_labels"].tolist()), with_kwargs=True
    )
    assert not torch.allclose(
        drawn(pipe, class_labels=1), drawn(pipe, class_labels=1, guidance_scale=1.0)
    )
    assert seen == [[3, 1]] * 2 + [[1]] * 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"class_labels": "wolf"}, "names 'wolf', which is not a class; known are"),
        ({"class_labels": 1001}, "classes 0 to 1000"),
        ({"class_labels": -1}, "class_labels has -1"),
        ({"class_labels": []}, "is empty"),
        ({"class_labels": 0.5}, "class_labels"),
        ({"class_labels": [[1]]}, "class_labels"),
        ({"class_labels": [1, 2], "batch_size": 3}, "batch_size is 3 for 2"),
        ({"batch_size": 0}, "batch_size"),
        ({"generator": [torch.Generator()] * 2}, "list of 2 generators"),
        ({"output_type": "mp4"}, "output_type"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
    ],
)
def test_wrong_arguments(
    pipe: Any, monkeypatch: pytest.MonkeyPatch, call: dict[str, Any], said: str
) -> None:
    def used(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a network was used before the error")

    monkeypatch.setattr(autopipe.DiTTransformer2DModel, "forward", used)
    with pytest.raises(ArgumentError, match=said):
        pipe(**{"class_labels": 1, **CALL, **call})


def test_names_are_kept_and_the_first_checkpoints_open(pipe: Any, tmp_path: Path) -> None:
    """Those name their transformer as diffusers once did; they are saved by its name today."""
    pipe.save_pretrained(tmp_path)
    file = tmp_path / "model_index.json"
    index = json.loads(file.read_text(encoding="utf-8"))
    assert index["id2label"] == NAMES
    assert index["transformer"] == ["diffusers", "DiTTransformer2DModel"]
    index["transformer"][1] = "Transformer2DModel"
    file.write_text(json.dumps(index), encoding="utf-8")
    again: Any = DiffusionPipeline.from_pretrained(tmp_path)
    assert isinstance(again, DiTPipeline)
    assert again.labels == pipe.labels
    told = parts(Checkpoint.open(tmp_path, {}), default_registry())
    assert [one.problem for one in told] == [None] * 3
    assert again.index()["transformer"][1] == "DiTTransformer2DModel"


@pytest.mark.parametrize(
    "names",
    [{"one": "cat"}, {"1": 5}, {"-1": "cat"}, {"9" * 30: "cat"}, ["cat"], "cat", {"1": None}],
)
def test_names_that_are_none(pipe: Any, tmp_path: Path, names: Any) -> None:
    pipe.save_pretrained(tmp_path)
    file = tmp_path / "model_index.json"
    index = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**index, "id2label": names}), encoding="utf-8")
    with pytest.raises(AutopipeError, match="id2label") as caught:
        DiffusionPipeline.from_pretrained(tmp_path)
    assert isinstance(caught.value, (ConfigError, ArgumentError))


def test_more_names_than_any_checkpoint_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from autopipe_unconditional import names

    monkeypatch.setattr(names, "_MOST", 3)
    assert len(names.names_of({0: "one, two", 1: "three"})) == 3
    for many in ({0: "one, two, three, four"}, {0: "one, two", 1: "three, four"}):
        with pytest.raises(ConfigError, match="more than 3 names"):
            names.names_of(many)


def test_hostile_configs(pipe: Any, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    file = tmp_path / "transformer" / "config.json"
    content = file.read_text(encoding="utf-8")
    for change in (
        {"num_layers": 10**6},
        {"sample_size": 1 << 16},
        {"num_embeds_ada_norm": 10**12},
        {"patch_size": 0},
        {"attention_head_dim": 1 << 20},
    ):
        file.write_text(json.dumps({**json.loads(content), **change}), encoding="utf-8")
        with pytest.raises(ConfigError, match=next(iter(change))):
            DiffusionPipeline.from_pretrained(tmp_path)
