from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from autopipe.auto import AutoPipelineForText2Image
from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    AutopipeError,
    CheckpointError,
    ConfigError,
    DamagedFileError,
    PlacementError,
    SchedulerError,
    UnsafeCheckpointError,
    UnsupportedCheckpointError,
    VariantError,
    WeightsMismatchError,
)
from autopipe.manifest import Component, Family, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of
from autopipe.tasks import Task

from .conftest import FAMILY, OtherNet, OtherScheduler, TinyNet, TinyPipeline, TinyScheduler, same

WEIGHTS = "diffusion_pytorch_model.safetensors"
Edit = Callable[..., None]


def change(file: Path, **tensors: torch.Tensor | None) -> None:
    """Replace tensors in a file; None removes one."""
    state = {**load_file(file), **{n.replace("__", "."): t for n, t in tensors.items()}}
    save_file({n: t for n, t in state.items() if t is not None}, file)


# Models


def test_a_model_comes_back_as_it_was(net_folder: Path) -> None:
    torch.manual_seed(0)
    original = TinyNet(depth=2, note="saved")
    loaded = TinyNet.from_pretrained(net_folder)
    assert same(loaded.state_dict(), original.state_dict())
    assert not loaded.training
    assert loaded.config.note == "saved"
    assert all(p.requires_grad for p in loaded.parameters())
    x = torch.randn(3, 4)
    assert torch.equal(loaded(x), original(x))


def test_loading_draws_no_random_number(net_folder: Path) -> None:
    before = torch.random.get_rng_state()
    TinyNet.from_pretrained(net_folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_model_in_a_subfolder(saved: Path, pipe: TinyPipeline) -> None:
    loaded = TinyNet.from_pretrained(saved, subfolder="net")
    assert same(loaded.state_dict(), pipe.net.state_dict())
    with pytest.raises(ArgumentError, match="subfolder"):
        TinyNet.from_pretrained(saved, subfolder="../saved/net")


def test_keywords_override_the_config_and_unknown_ones_are_errors(net_folder: Path) -> None:
    assert TinyNet.from_pretrained(net_folder, note="mine").config.note == "mine"
    with pytest.raises(ArgumentTypeError, match="Did you mean 'note'"):
        TinyNet.from_pretrained(net_folder, noet="mine")


def test_old_configs_lack_keys_and_new_ones_have_more(net_folder: Path) -> None:
    (net_folder / "config.json").write_text(json.dumps({"depth": 2, "future": [1]}))
    loaded = TinyNet.from_pretrained(net_folder)
    assert loaded.config.note == "default"
    assert loaded.config.future == [1]


def test_old_names_of_tensors_are_converted(net_folder: Path) -> None:
    state = load_file(net_folder / WEIGHTS)
    renamed = {name.replace("layers", "old_layers"): t for name, t in state.items()}
    save_file(renamed, net_folder / WEIGHTS)
    assert same(TinyNet.from_pretrained(net_folder).state_dict(), state)


def test_the_dtype_is_float32_unless_asked_for(net_folder: Path) -> None:
    state = load_file(net_folder / WEIGHTS)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    save_file(halves, net_folder / WEIGHTS)
    assert TinyNet.from_pretrained(net_folder).dtype is torch.float32
    assert TinyNet.from_pretrained(net_folder, torch_dtype="auto").dtype is torch.float16
    loaded = TinyNet.from_pretrained(net_folder, dtype=torch.bfloat16)
    assert loaded.seed.dtype is torch.bfloat16
    assert loaded.steps.dtype is torch.bfloat16
    assert loaded.count.dtype is torch.int64


def test_parts_that_need_float32_keep_it(net_folder: Path) -> None:
    loaded = TinyNet.from_pretrained(net_folder, torch_dtype=torch.float16)
    assert loaded.precise.weight.dtype is torch.float32
    assert loaded.layers[0].weight.dtype is torch.float16


def test_a_missing_tensor_is_an_error_that_names_it(net_folder: Path) -> None:
    change(net_folder / WEIGHTS, seed=None)
    with pytest.raises(WeightsMismatchError, match=r"lack seed.*low_cpu_mem_usage=False"):
        TinyNet.from_pretrained(net_folder)


def test_a_missing_tensor_may_start_from_initial_values(
    net_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(net_folder / WEIGHTS, seed=None)
    torch.manual_seed(5)
    expected = TinyNet(depth=2).seed
    torch.manual_seed(5)
    loaded, info = TinyNet.from_pretrained(
        net_folder, low_cpu_mem_usage=False, output_loading_info=True, torch_dtype="float16"
    )
    assert torch.equal(loaded.seed, expected.half())
    assert info["missing_keys"] == ["seed"]
    assert "seed" in caplog.text


def test_tensors_of_nobody_are_reported(net_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(net_folder / WEIGHTS, extra=torch.ones(2))
    _, info = TinyNet.from_pretrained(net_folder, output_loading_info=True)
    assert info == {
        "missing_keys": [],
        "unexpected_keys": ["extra"],
        "mismatched_keys": [],
        "error_msgs": [],
    }
    assert "extra" in caplog.text


@pytest.mark.parametrize("low_cpu_mem_usage", [True, False])
def test_another_shape_is_reported_with_both(net_folder: Path, low_cpu_mem_usage: bool) -> None:
    change(net_folder / WEIGHTS, seed=torch.ones(9))
    with pytest.raises(WeightsMismatchError, match=r"seed has the shape \(9,\).*\(4,\)") as caught:
        TinyNet.from_pretrained(net_folder, low_cpu_mem_usage=low_cpu_mem_usage)
    # The original raises the one or the other.
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, RuntimeError)


def test_another_shape_may_be_ignored(net_folder: Path) -> None:
    change(net_folder / WEIGHTS, seed=torch.ones(9))
    loaded, info = TinyNet.from_pretrained(
        net_folder, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert loaded.seed.shape == (4,)
    assert info["mismatched_keys"] == [("seed", torch.Size([9]), torch.Size([4]))]


def test_weights_of_another_config_take_no_memory_before_they_are_refused(
    net_folder: Path, edit: Edit
) -> None:
    edit(net_folder / "config.json", width=2_000_000)
    with pytest.raises((WeightsMismatchError, ConfigError)):
        TinyNet.from_pretrained(net_folder)


@pytest.mark.parametrize(
    "config", [{"width": "four"}, {"width": -1}, {"depth": None}, {"width": [4]}]
)
def test_a_config_of_wrong_types_is_named(
    net_folder: Path, edit: Edit, config: dict[str, Any]
) -> None:
    edit(net_folder / "config.json", **config)
    with pytest.raises(ConfigError, match="TinyNet"):
        TinyNet.from_pretrained(net_folder)


def test_absent_folders_configs_and_weights(net_folder: Path, tmp_path: Path) -> None:
    for missing in (tmp_path / "absent", str(tmp_path / "absent"), "./absent", "a/b/c"):
        with pytest.raises(CheckpointError, match=r"absent|a/b/c"):
            TinyNet.from_pretrained(missing)
    (net_folder / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(OSError, match=r"config\.json"):
        TinyNet.from_pretrained(net_folder)
    (net_folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="exist or is empty"):
        TinyNet.from_pretrained(net_folder)


def test_a_git_lfs_pointer_is_called_one(net_folder: Path) -> None:
    (net_folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
    with pytest.raises(DamagedFileError, match="Git LFS pointer"):
        TinyNet.from_pretrained(net_folder)


# Schedulers


def test_a_scheduler_comes_back_and_keywords_override(saved: Path) -> None:
    loaded = TinyScheduler.from_pretrained(saved, subfolder="scheduler")
    assert loaded.config.sigma == 0.25
    assert TinyScheduler.from_pretrained(saved / "scheduler", sigma=0.75).config.sigma == 0.75


def test_a_scheduler_keeps_what_another_one_needs(saved: Path) -> None:
    other = OtherScheduler.from_pretrained(saved, subfolder="scheduler")
    assert TinyScheduler.from_config(other.config).config.sigma == 0.25


def test_unused_keywords_of_a_scheduler(saved: Path) -> None:
    _, unused = TinyScheduler.from_pretrained(
        saved, subfolder="scheduler", return_unused_kwargs=True, other=3
    )
    assert unused == {"other": 3}
    with pytest.raises(ArgumentTypeError, match="Did you mean 'sigma'"):
        TinyScheduler.from_pretrained(saved, subfolder="scheduler", sigam=3)


# Pipelines


def test_a_pipeline_comes_back_as_it_was(saved: Path, pipe: TinyPipeline) -> None:
    for opener in (TinyPipeline, DiffusionPipeline, AutoPipelineForText2Image):
        loaded = opener.from_pretrained(saved)
        assert type(loaded) is TinyPipeline
        assert same(loaded.net.state_dict(), pipe.net.state_dict())
        assert same(loaded.text_encoder.state_dict(), pipe.text_encoder.state_dict())
        assert type(loaded.checker) is OtherNet
        assert loaded.scheduler.config.sigma == 0.25
        assert loaded.options["strict"] is False
        assert not any(m.training for m in (loaded.net, loaded.text_encoder, loaded.checker))
        assert loaded.index() == pipe.index()


def test_components_of_the_caller_are_used_and_their_folders_not_needed(saved: Path) -> None:
    shutil.rmtree(saved / "net")
    shutil.rmtree(saved / "scheduler")
    net, scheduler = TinyNet(), OtherScheduler()
    loaded = TinyPipeline.from_pretrained(saved, net=net, scheduler=scheduler, checker=None)
    assert loaded.net is net
    assert loaded.scheduler is scheduler
    assert loaded.checker is None


def test_options_of_the_caller_win(saved: Path) -> None:
    assert TinyPipeline.from_pretrained(saved, strict=True).options["strict"] is True


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("net", TinyScheduler()), ("net", "unet"), ("scheduler", TinyNet()), ("checker", [1])],
)
def test_the_wrong_kind_of_component_is_refused(saved: Path, name: str, wrong: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"{name} must be") as caught:
        TinyPipeline.from_pretrained(saved, **{name: wrong})
    assert isinstance(caught.value, ValueError)


def test_unknown_keywords_get_the_nearest_name(saved: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="Did you mean 'checker'"):
        TinyPipeline.from_pretrained(saved, cheker=None)


def test_null_components_are_none(saved: Path, edit: Edit) -> None:
    for entry in ([None, None], None):
        edit(saved / "model_index.json", checker=entry)
        assert TinyPipeline.from_pretrained(saved).checker is None


def test_a_required_component_that_is_absent_is_named(saved: Path, edit: Edit) -> None:
    edit(saved / "model_index.json", net=[None, None])
    with pytest.raises(ArgumentError, match=r"no net; pass net="):
        TinyPipeline.from_pretrained(saved)
    assert TinyPipeline.from_pretrained(saved, net=None).net is None


def test_an_optional_component_without_a_folder_says_how_to_go_without(saved: Path) -> None:
    shutil.rmtree(saved / "checker")
    with pytest.raises(CheckpointError, match="checker=None"):
        TinyPipeline.from_pretrained(saved)


def test_what_a_class_does_not_declare_waits_for_one_that_does(saved: Path, edit: Edit) -> None:
    class Stricter(TinyPipeline):
        def __init__(
            self, net: Any, text_encoder: Any, scheduler: Any, checker: Any, more: int = 0
        ) -> None:
            self.register_modules(
                net=net, text_encoder=text_encoder, scheduler=scheduler, checker=checker
            )
            self.register_to_config(more=more)

    edit(saved / "model_index.json", more=7)
    loaded = TinyPipeline.from_pretrained(saved)
    assert Stricter.from_pipe(loaded).options["more"] == 7


@pytest.mark.parametrize(
    "pair",
    [["subprocess", "Popen"], ["os", "system"], ["transformers", "AutoModel"], ["tiny", "X"]],
)
def test_only_declared_classes_are_looked_up(saved: Path, edit: Edit, pair: list[str]) -> None:
    edit(saved / "model_index.json", checker=pair)
    with pytest.raises(UnsupportedCheckpointError, match=f"{pair[1]} of {pair[0]}"):
        TinyPipeline.from_pretrained(saved)


def test_a_dtype_for_each_component(saved: Path) -> None:
    loaded = TinyPipeline.from_pretrained(
        saved, torch_dtype={"net": "float16", "default": "bfloat16"}
    )
    assert loaded.net.dtype is torch.float16
    assert loaded.text_encoder.dtype is torch.bfloat16


def test_a_dtype_for_a_component_that_is_not_there_is_an_error(saved: Path) -> None:
    for keyword in ("torch_dtype", "dtype"):
        with pytest.raises(ArgumentError, match=r"'text_encodr'.*Did you mean 'text_encoder'"):
            TinyPipeline.from_pretrained(saved, **{keyword: {"text_encodr": "float16"}})
    # One that is absent from this checkpoint is one of the class nevertheless.
    loaded = TinyPipeline.from_pretrained(saved, checker=None, dtype={"checker": "float16"})
    assert loaded.net.dtype is torch.float32


def test_a_single_model_has_no_components_to_name(net_folder: Path) -> None:
    assert TinyNet.from_pretrained(net_folder, dtype={"default": "float16"}).seed.dtype is (
        torch.float16
    )
    with pytest.raises(ArgumentError, match=r"TinyNet has no component 'net'.*default"):
        TinyNet.from_pretrained(net_folder, dtype={"net": "float16"})


def test_loading_info_of_each_component(saved: Path) -> None:
    change(saved / "net" / WEIGHTS, extra=torch.ones(1))
    loaded, info = TinyPipeline.from_pretrained(saved, output_loading_info=True)
    assert isinstance(loaded, TinyPipeline)
    assert info["net"]["unexpected_keys"] == ["extra"]
    assert info["checker"]["unexpected_keys"] == []


class FirstPipeline(DiffusionPipeline):
    """Of the kind that the first repositories hold: one network, one scheduler."""

    def __init__(self, net: TinyNet, scheduler: TinyScheduler) -> None:
        self.register_modules(net=net, scheduler=scheduler)


def test_the_first_pipelines_have_all_files_beside_the_index(tmp_path: Path) -> None:
    original = FirstPipeline(TinyNet(depth=2).eval(), TinyScheduler(sigma=0.25))
    original.save_pretrained(tmp_path)
    for folder in ("net", "scheduler"):
        for file in (tmp_path / folder).iterdir():
            file.rename(tmp_path / file.name)
        (tmp_path / folder).rmdir()
    loaded = FirstPipeline.from_pretrained(tmp_path)
    assert same(loaded.net.state_dict(), original.net.state_dict())
    assert loaded.scheduler.config.sigma == 0.25
    half = tmp_path / WEIGHTS.replace(".", ".fp16.", 1)
    half.write_bytes((tmp_path / WEIGHTS).read_bytes())
    with pytest.raises(VariantError, match="it has 'fp16'"):
        FirstPipeline.from_pretrained(tmp_path, variant="bf16")
    half.unlink()
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="net doesn't exist"):
        FirstPipeline.from_pretrained(tmp_path)


def test_a_variant_applies_to_the_components_that_have_it(saved: Path, pipe: TinyPipeline) -> None:
    pipe.to(torch.float16)
    pipe.net.save_pretrained(saved / "net", variant="fp16")
    pipe.text_encoder.config.dtype = None
    loaded = TinyPipeline.from_pretrained(saved, variant="fp16")
    # All have the one dtype of the variant's files, or a call would fail.
    assert loaded.net.dtype is torch.float16
    assert loaded.text_encoder.dtype is torch.float16
    assert TinyPipeline.from_pretrained(saved).net.dtype is torch.float32
    explicit = TinyPipeline.from_pretrained(saved, variant="fp16", torch_dtype=torch.float32)
    assert explicit.net.dtype is torch.float32


def test_a_variant_that_no_component_has_is_an_error(saved: Path, pipe: TinyPipeline) -> None:
    pipe.net.save_pretrained(saved / "net", variant="ema")
    with pytest.raises(VariantError, match=r"'fp16'.*'ema'"):
        TinyPipeline.from_pretrained(saved, variant="fp16")


def test_the_automatic_variant_takes_what_there_is(saved: Path, pipe: TinyPipeline) -> None:
    pipe.to(torch.float16).save_pretrained(saved / "half", variant="fp16")
    with pytest.raises(VariantError, match="weights without a variant"):
        TinyPipeline.from_pretrained(saved / "half")
    loaded = TinyPipeline.from_pretrained(saved / "half", variant="auto")
    assert loaded.net.dtype is loaded.text_encoder.dtype is torch.float16


def test_an_error_in_one_component_is_the_error_of_the_pipeline(saved: Path) -> None:
    (saved / "net" / WEIGHTS).write_bytes(b"")
    with pytest.raises(DamagedFileError, match=r"net.*empty"):
        TinyPipeline.from_pretrained(saved)


def test_damage_is_found_before_anything_is_built(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (saved / "text_encoder" / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr(TinyNet, "from_config", lambda *args: pytest.fail("was built"))
    with pytest.raises(DamagedFileError, match=r"text_encoder.*empty"):
        TinyPipeline.from_pretrained(saved)


def test_a_replacement_needs_no_family_for_what_it_replaces(saved: Path, edit: Edit) -> None:
    edit(saved / "model_index.json", checker=["elsewhere", "Unknown"])
    given = OtherNet()
    assert TinyPipeline.from_pretrained(saved, checker=given).checker is given
    assert TinyPipeline.from_pretrained(saved, checker=None).checker is None


def test_a_link_out_of_the_checkpoint_is_refused(saved: Path, tmp_path: Path) -> None:
    (saved / "net").rename(tmp_path / "elsewhere")
    (saved / "net").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeCheckpointError, match="leads out"):
        TinyPipeline.from_pretrained(saved)


def test_pickled_weights_load_with_a_warning(
    pipe: TinyPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipe.save_pretrained(tmp_path / "old", safe_serialization=False)
    loaded = TinyPipeline.from_pretrained(tmp_path / "old")
    assert same(loaded.net.state_dict(), pipe.net.state_dict())
    assert same(loaded.text_encoder.state_dict(), pipe.text_encoder.state_dict())
    assert sum("pickled" in r.message for r in caplog.records) == 3
    with pytest.raises(UnsafeCheckpointError, match="pickled"):
        TinyPipeline.from_pretrained(tmp_path / "old", use_safetensors=True)


def test_the_index_is_known_before_a_class_is_chosen(saved: Path) -> None:
    checkpoint = Checkpoint.open(saved, {"strict": True})
    assert checkpoint.index.class_name == "TinyPipeline"
    plan = checkpoint.plan(TinyPipeline)
    assert {item.component for item in plan.items} == {None, *checkpoint.index.components}
    pipe = checkpoint.load(plan)
    assert isinstance(pipe, TinyPipeline)
    assert pipe.options == {"strict": True}


def test_an_unknown_pipeline_says_what_is_missing(saved: Path, edit: Edit) -> None:
    edit(saved / "model_index.json", _class_name="QwenImagePipeline")
    with pytest.raises(UnsupportedCheckpointError, match="QwenImagePipeline"):
        DiffusionPipeline.from_pretrained(saved)


# What an index says a component is


@pytest.mark.parametrize(
    ("name", "pair", "found", "expected"),
    [
        ("scheduler", ["transformers", "CLIPTokenizer"], "a tokenizer or proc", "a scheduler"),
        ("scheduler", ["diffusers", "TinyNet"], "a network", "a scheduler"),
        ("net", ["diffusers", "TinyScheduler"], "a scheduler", "a network"),
        ("checker", ["diffusers", "OtherScheduler"], "a scheduler", "a network"),
    ],
)
def test_a_class_of_another_kind_is_refused(
    saved: Path, edit: Edit, name: str, pair: list[str], found: str, expected: str
) -> None:
    edit(saved / "model_index.json", **{name: pair})
    message = (
        rf"model_index.json names {pair[1]}.* for {name!r}, which is {found}.*takes {expected}"
    )
    with pytest.raises(ConfigError, match=message):
        TinyPipeline.from_pretrained(saved)


def test_what_is_given_stands_for_a_wrong_entry(saved: Path, edit: Edit) -> None:
    edit(saved / "model_index.json", scheduler=["transformers", "CLIPTokenizer"])
    loaded = TinyPipeline.from_pretrained(saved, scheduler=OtherScheduler())
    assert isinstance(loaded.scheduler, OtherScheduler)
    with pytest.raises(ArgumentTypeError, match="scheduler must be a scheduler"):
        TinyPipeline.from_pretrained(saved, scheduler=TinyNet())


def test_other_classes_of_the_kind_are_taken(saved: Path, edit: Edit) -> None:
    edit(
        saved / "model_index.json",
        net=["tiny", "OtherNet"],
        scheduler=["diffusers", "OtherScheduler"],
        checker=["diffusers", "TinyNet"],
    )
    loaded = TinyPipeline.from_pretrained(saved)
    kinds = (type(loaded.net), type(loaded.scheduler), type(loaded.checker))
    assert kinds == (OtherNet, OtherScheduler, TinyNet)


class OwnTextModel(CLIPTextModel):
    """A family's own class for what checkpoints call a class of transformers."""


OWN = Component("CLIPTextModel", target_of(OwnTextModel), library="transformers")
STRANGER = Family("stranger", (Pipeline("Other", "nowhere:Other", Task.TEXT2IMAGE, "other"),))


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ([replace(FAMILY, components=(*FAMILY.components, OWN))], OwnTextModel),
        ([FAMILY, replace(STRANGER, components=(OWN,))], CLIPTextModel),
    ],
)
def test_a_claim_for_a_class_of_transformers_counts_in_lines_of_its_family(
    saved: Path, monkeypatch: pytest.MonkeyPatch, families: list[Family], expected: type
) -> None:
    made = Registry([Installed(Plugin(f.name, f.name, "1"), f) for f in families])
    monkeypatch.setattr("autopipe.registry._default", made)
    assert type(TinyPipeline.from_pretrained(saved).text_encoder) is expected


# Values of configs


@pytest.mark.parametrize(
    ("file", "entries", "said"),
    [
        ("net/config.json", {"width": None}, "width = None"),
        ("net/config.json", {"width": "x" * 10**6}, "width = 'xxx"),
        ("net/config.json", {"width": float("inf")}, "width = inf"),
        ("net/config.json", {"depth": [1]}, r"depth = \[1\]"),
        ("net/config.json", {"note": 5}, "note = 5"),
        ("scheduler/scheduler_config.json", {"sigma": "\ud83d"}, "sigma = "),
        ("scheduler/scheduler_config.json", {"sigma": float("nan")}, "sigma = nan"),
        (
            "scheduler/scheduler_config.json",
            {"num_train_timesteps": {}},
            "num_train_timesteps = {}",
        ),
    ],
    ids=str,
)
def test_a_value_of_another_kind_names_file_class_entry_and_value(
    saved: Path, edit: Edit, file: str, entries: dict[str, Any], said: str
) -> None:
    edit(saved / file, **entries)
    with pytest.raises((ConfigError, SchedulerError), match=said) as caught:
        TinyPipeline.from_pretrained(saved)
    assert str(saved / file) in str(caught.value)
    assert "Tiny" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_an_infinite_number_is_a_number(saved: Path, edit: Edit) -> None:
    edit(saved / "scheduler/scheduler_config.json", sigma=-math.inf, unknown=[math.inf])
    pipe = TinyPipeline.from_pretrained(saved)
    assert pipe.scheduler.config.sigma == -math.inf
    pipe.save_pretrained(saved)
    assert TinyScheduler.from_pretrained(saved, subfolder="scheduler").config.unknown == [math.inf]


def test_where_it_was_loaded_from_is_known(saved: Path, net_folder: Path) -> None:
    pipe = TinyPipeline.from_pretrained(str(saved))
    assert pipe.name_or_path == pipe.config._name_or_path == str(saved)
    assert pipe.net.config._name_or_path == str(saved / "net")
    assert TinyPipeline.from_pipe(pipe).name_or_path == str(saved)
    assert TinyPipeline(**pipe.components).name_or_path is None
    assert TinyNet.from_pretrained(net_folder).config["_name_or_path"] == str(net_folder)
    pipe._origins[""] = "owner/name@" + "a" * 40
    assert pipe.name_or_path == "owner/name"


def test_options_of_a_pipeline_are_read_from_the_object(saved: Path) -> None:
    pipe = TinyPipeline.from_pretrained(saved)
    with pytest.warns(FutureWarning, match=r"\.config\.strict") as caught:
        assert pipe.strict is False
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="strange"):
        pipe.strange  # noqa: B018
    with pytest.raises(ArgumentTypeError, match="register_to_config"):
        pipe.config.strict = True
    pipe.register_to_config(strict=True)
    assert pipe.config.strict is True


@pytest.mark.parametrize(
    ("device_map", "found"),
    [
        ("cpu", {"": "cpu"}),
        (torch.device("cpu"), {"": "cpu"}),
        ("auto", {"": "cpu"}),
        ("sequential", {"": "cpu"}),
        ({"": "cpu", "layers.1": "disk"}, {"": "cpu", "layers.1": "disk"}),
        ({"": "disk"}, {"": "disk"}),
    ],
)
def test_a_network_goes_where_its_device_map_says(
    net_folder: Path, tmp_path: Path, device_map: Any, found: dict[str, Any]
) -> None:
    x = torch.randn(2, 4)
    plain = TinyNet.from_pretrained(net_folder)
    net = TinyNet.from_pretrained(
        net_folder, device_map=device_map, offload_folder=tmp_path / "disk", offload_state_dict=True
    )
    assert net.hf_device_map == found
    assert torch.equal(net(x), plain(x))
    net.save_pretrained(tmp_path / "again")
    assert same(TinyNet.from_pretrained(tmp_path / "again").state_dict(), plain.state_dict())


def test_a_scheduler_that_is_half_saved_is_not_told_as_absent(saved: Path) -> None:
    file = saved / "scheduler" / "scheduler_config.json"
    file.rename(f"{file}.saving")
    with pytest.raises(CheckpointError, match="scheduler is incomplete"):
        TinyScheduler.from_pretrained(saved, subfolder="scheduler")


@pytest.mark.parametrize("place", [None, 5, "x" * 5000, "a\0b", "half \ud83d"])
@pytest.mark.parametrize("cls", [TinyNet, TinyScheduler])
def test_a_config_is_not_looked_for_where_nothing_can_be(cls: Any, place: Any) -> None:
    with pytest.raises(AutopipeError):
        cls.load_config(place)


def test_a_network_whose_layers_come_from_elsewhere_is_cast_and_not_moved(
    net_folder: Path, tmp_path: Path
) -> None:
    devices = {"": "cpu", "layers": "disk"}
    net = TinyNet.from_pretrained(net_folder, device_map=devices, offload_folder=tmp_path / "disk")
    for move in (net.cpu, lambda: net.to("cpu"), lambda: net.to("cpu", torch.float16)):
        with pytest.raises(PlacementError, match="TinyNet can't be moved"):
            move()
    assert net(torch.zeros(1, 4)).dtype is torch.float32
    assert net.double()(torch.zeros(1, 4).double()).dtype is torch.float64


def test_shards_go_where_a_device_map_says_in_another_dtype(tmp_path: Path) -> None:
    net = TinyNet(depth=4)
    net.save_pretrained(tmp_path / "net", max_shard_size=100)
    loaded = TinyNet.from_pretrained(
        tmp_path / "net",
        device_map="auto",
        max_memory={"cpu": 100},
        offload_folder=tmp_path / "disk",
        torch_dtype=torch.float64,
    )
    assert "disk" in loaded.hf_device_map.values()
    x = torch.randn(2, 4, dtype=torch.float64)
    assert torch.allclose(loaded(x), net.double()(x))


def test_a_device_that_is_not_here_is_refused_before_anything_is_read(
    net_folder: Path, saved: Path
) -> None:
    for file in (*net_folder.glob("*.safetensors"), *saved.glob("*/*.safetensors")):
        file.write_bytes(b"x")
    for load in (TinyNet.from_pretrained, TinyPipeline.from_pretrained):
        with pytest.raises(PlacementError, match="is not available"):
            load(net_folder if load == TinyNet.from_pretrained else saved, device_map="cuda:7")


def test_the_config_alone_is_loaded_from_a_folder(saved: Path) -> None:
    config = TinyNet.load_config(saved, subfolder="net")
    assert config["depth"] == 2
    assert TinyNet.load_config(saved / "net" / "config.json") == config
    found = TinyNet.load_config(
        saved, return_unused_kwargs=True, return_commit_hash=True, subfolder="net", colour=1
    )
    assert found == (config, {"colour": 1}, None)
    with pytest.warns(FutureWarning):
        made, unused = TinyScheduler.from_config(saved, True, subfolder="scheduler", colour=1)
    assert (made.config.sigma, unused["colour"]) == (0.25, 1)
    for path in (saved, saved / "nowhere"):
        with pytest.raises((ConfigError, CheckpointError)):
            TinyNet.load_config(path)
    net = TinyNet.from_config(config)
    assert net.get_memory_footprint() > net.get_memory_footprint(return_buffers=False) > 0
    assert not net.is_gradient_checkpointing
