"""A checkpoint that is one stage of a chain, and the folder of the stage that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import AutoPipelineForInpainting, AutoPipelineForText2Image
from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    AutopipeError,
    UnsupportedCheckpointError,
)
from autopipe.manifest import Family, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.flaws import flaws
from autopipe.resolution.targets import target_of
from autopipe.tasks import Task

from .conftest import FAMILY, OtherNet, TinyNet, TinyScheduler, same


class Sketch(DiffusionPipeline):
    """The first stage: what it makes, the second needs."""

    def __init__(self, net: OtherNet, scheduler: TinyScheduler) -> None:
        self.register_modules(net=net, scheduler=scheduler)


class Paint(DiffusionPipeline):
    """The second stage, whose checkpoint names that of the first."""

    def __init__(self, net: TinyNet, scheduler: TinyScheduler) -> None:
        self.register_modules(net=net, scheduler=scheduler)


class Whole(DiffusionPipeline):
    """Both."""

    def __init__(
        self,
        net: TinyNet,
        scheduler: TinyScheduler,
        sketch_net: OtherNet,
        sketch_scheduler: TinyScheduler,
    ) -> None:
        self.register_modules(
            net=net,
            scheduler=scheduler,
            sketch_net=sketch_net,
            sketch_scheduler=sketch_scheduler,
        )


STAGE = Pipeline(
    "Paint", target_of(Paint), Task.TEXT2IMAGE, "whole.paint", opens_as="whole", needs="sketch"
)
CHAIN = Family(
    "chain",
    pipelines=(
        STAGE,
        Pipeline("Whole", target_of(Whole), Task.TEXT2IMAGE, "whole"),
        Pipeline("Sketch", target_of(Sketch)),
    ),
)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The tiny family and the chain."""
    made = Registry([Installed(Plugin(f.name, f.name, "1"), f) for f in (FAMILY, CHAIN)])
    monkeypatch.setattr("autopipe.registry._default", made)
    return made


@pytest.fixture
def sketch() -> Sketch:
    return Sketch(OtherNet(width=2).eval(), TinyScheduler(sigma=0.25))


@pytest.fixture
def paint() -> Paint:
    return Paint(TinyNet().eval(), TinyScheduler(sigma=0.75))


@pytest.fixture
def folder(sketch: Sketch, paint: Paint, tmp_path: Path) -> Path:
    """The folder of the second stage, whose card names that of the first beside it."""
    sketch.save_pretrained(tmp_path / "sketch")
    paint.save_pretrained(tmp_path / "paint")
    card = "---\nsketch: ../sketch\n---\n"
    (tmp_path / "paint" / "README.md").write_text(card, encoding="utf-8")
    return tmp_path / "paint"


def test_a_sound_chain_has_no_flaws() -> None:
    assert list(flaws(CHAIN)) == []


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        (Pipeline("P", "m:P", opens_as="whole", needs="no word"), "is not a keyword"),
        (Pipeline("P", "m:P", needs="sketch"), "must also set opens_as"),
        (Pipeline("P", "m:P", opens_as="whole", needs=1), "has the invalid needs"),  # type: ignore[arg-type]
    ],
)
def test_what_a_manifest_may_not_say(pipeline: Pipeline, said: str) -> None:
    (flaw,) = flaws(Family("bad", pipelines=(pipeline,)))
    assert said in flaw


def test_a_stage_resolves_to_its_chain_where_a_task_is_wanted(registry: Registry) -> None:
    assert registry.resolve("Paint", "text2image").pipeline.name == "Whole"
    assert registry.resolve("Paint").pipeline is STAGE
    with pytest.raises(UnsupportedCheckpointError, match=r"inpaint.*Whole"):
        registry.resolve("Paint", "inpaint")


def test_two_folders_are_one_pipeline(folder: Path, sketch: Sketch, paint: Paint) -> None:
    pipe: Any = AutoPipelineForText2Image.from_pretrained(folder)
    assert type(pipe) is Whole
    assert same(pipe.net.state_dict(), paint.net.state_dict())
    assert same(pipe.sketch_net.state_dict(), sketch.net.state_dict())
    assert (pipe.scheduler.config.sigma, pipe.sketch_scheduler.config.sigma) == (0.75, 0.25)
    assert pipe.origins == {"": str(folder), "sketch": str(folder.parent / "sketch")}
    assert Checkpoint.open(folder, {}).plan(Whole).stage.cls.__name__ == "Sketch"  # type: ignore[union-attr]
    with pytest.raises(UnsupportedCheckpointError):
        AutoPipelineForInpainting.from_pretrained(folder)


def test_the_stage_of_the_caller(folder: Path, sketch: Sketch) -> None:
    (folder / "README.md").unlink()
    pipe: Any = AutoPipelineForText2Image.from_pretrained(folder, sketch=sketch)
    assert pipe.sketch_net is sketch.net
    assert pipe.sketch_scheduler is not sketch.scheduler
    assert pipe.origins == {"": str(folder)}, "this sketch was made, and not loaded"
    first: Any = DiffusionPipeline.from_pretrained(folder.parent / "sketch")
    second: Any = DiffusionPipeline.from_pretrained(folder)
    origins = {"": str(folder), "sketch": str(folder.parent / "sketch")}
    for stage in (first, folder.parent / "sketch"):
        assert AutoPipelineForText2Image.from_pretrained(folder, sketch=stage).origins == origins
        assert AutoPipelineForText2Image.from_pipe(second, sketch=stage).origins == origins
    loaded: Any = AutoPipelineForText2Image.from_pretrained(folder, sketch=folder.parent / "sketch")
    assert same(loaded.sketch_net.state_dict(), sketch.net.state_dict())


LINES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGED = LINES.replace("[", "{<<: [").replace("]", "]}")
CARDS = {
    "aliases": f"a0: &a0 [x]\n{LINES}sketch: *a29",
    "merges": f"a0: &a0 {{x: y}}\n{MERGED}sketch: *a29",
    "depth": "sketch: " + "[" * 5_000,
    "length": f"sketch: {'x' * 100_000}",
    "a long path": "sketch: " + "/".join(["x" * 200] * 40),
    "code": "sketch: !!python/object/apply:os.mkdir [ran]",
    "several": "sketch: [../sketch, ../other]",
    "a number": "sketch: 1" + ":59" * 5_000,
    "above": "sketch: ../../sketch",
    "elsewhere": "sketch: /etc",
    "a home": "sketch: ~/sketch",
    "nonsense": "sketch: : :",
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_can_do_no_harm(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of a few lines that stand for more than any memory holds."""
    monkeypatch.chdir(tmp_path)
    (folder / "README.md").write_text(f"---\n{CARDS[name]}\n---\n", encoding="utf-8")
    with pytest.raises(AutopipeError, match="sketch") as caught:
        AutoPipelineForText2Image.from_pretrained(folder)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "card",
    [
        "---\nother: &x [1]\nmore: *x\nsketch:\n- ../sketch\n---\n# Title\n",
        "\ufeff---\r\nsketch: '../sketch'\r\n---\r\n",
    ],
)
def test_cards_as_people_write_them(card: str, folder: Path) -> None:
    (folder / "README.md").write_text(card, encoding="utf-8")
    assert type(AutoPipelineForText2Image.from_pretrained(folder)) is Whole


@pytest.mark.parametrize("card", ["", "# Title", "---\nsketch: ../sketch\n", "---\nsketch:\n---\n"])
def test_a_card_that_names_nothing(card: str, folder: Path) -> None:
    (folder / "README.md").write_text(card, encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"also needs a sketch.* as sketch="):
        AutoPipelineForText2Image.from_pretrained(folder)


def test_dtypes_go_by_the_names_of_the_chain(folder: Path) -> None:
    dtypes = {"sketch_net": torch.float16, "net": torch.bfloat16}
    pipe: Any = AutoPipelineForText2Image.from_pretrained(folder, torch_dtype=dtypes)
    assert (pipe.net.seed.dtype, pipe.sketch_net.seed.dtype) == (torch.bfloat16, torch.float16)
    # Both stages call theirs `net`.
    pipe = AutoPipelineForText2Image.from_pretrained(folder, torch_dtype={"net": torch.bfloat16})
    assert (pipe.net.seed.dtype, pipe.sketch_net.seed.dtype) == (torch.bfloat16, torch.float32)


def test_the_stage_that_is_missing_or_wrong_is_named(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(ArgumentError, match=r"also needs a sketch.* as sketch="):
        AutoPipelineForText2Image.from_pretrained(folder)
    with pytest.raises(ArgumentTypeError, match=r"sketch must be.*, not int"):
        AutoPipelineForText2Image.from_pretrained(folder, sketch=3)
    with pytest.raises(ArgumentTypeError, match="'sketch'"):
        AutoPipelineForText2Image.from_pretrained(folder, sketsh=folder)


def test_a_wrong_component_is_called_as_the_caller_called_it(folder: Path) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^sketch_scheduler must be a scheduler"):
        AutoPipelineForText2Image.from_pretrained(folder, sketch_scheduler=TinyNet())


def test_saved_as_one_it_needs_no_other(folder: Path, tmp_path: Path) -> None:
    AutoPipelineForText2Image.from_pretrained(folder).save_pretrained(tmp_path / "both")
    assert type(DiffusionPipeline.from_pretrained(tmp_path / "both")) is Whole


def test_the_base_class_opens_the_stage_or_on_request_the_chain(folder: Path) -> None:
    for wanted, kind in ((None, Paint), (False, Paint), (True, Whole)):
        pipe = DiffusionPipeline.from_pretrained(folder, load_connected_pipeline=wanted)
        assert type(pipe) is kind
    plan = Checkpoint.open(folder, {"load_connected_pipeline": True}).plan(DiffusionPipeline)
    assert (plan.cls.__name__, plan.keyword) == ("Whole", "sketch")


def test_a_class_that_is_named_is_opened_as_it_is(folder: Path) -> None:
    # Also what is no stage of a chain, and has no task.
    for kind, path in ((Paint, folder), (Sketch, folder.parent / "sketch")):
        assert type(kind.from_pretrained(path, load_connected_pipeline=True)) is kind
    sketch = DiffusionPipeline.from_pretrained(
        folder.parent / "sketch", load_connected_pipeline=True
    )
    assert type(sketch) is Sketch
    with pytest.raises(ArgumentTypeError, match="load_connected_pipeline"):
        Paint.from_pretrained(folder, load_connected_pipeline="yes")
