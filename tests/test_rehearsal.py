"""Invalid calls are refused before weights are read, and valid calls are accepted."""

from __future__ import annotations

import logging

import pytest
from support.demos import DEMOS, components, networks

from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.checkpoint.outline import outline
from autopipe.cli.parser import parse
from autopipe.errors import ArgumentError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import default_registry
from autopipe_requests.completing import Completion
from autopipe_requests.options import given_in, spelled
from autopipe_requests.rehearsal import check_call


@pytest.fixture(autouse=True)
def _without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights are read")

    monkeypatch.setattr("autopipe.checkpoint.load.read_weights", refuse)
    monkeypatch.chdir(tmp_path)


def rehearsed(*line: str) -> None:
    registry = default_registry()
    completion = Completion(registry, spell=spelled)
    draft = completion.draft(given_in(parse(["generate", *line])))
    check_call(completion.finished(draft), draft.opened.index.class_name, registry)


@pytest.mark.parametrize("demo", DEMOS)
def test_the_outline_has_every_network_and_no_weights(demo: str) -> None:
    pipe = outline(Checkpoint.open(demo, {}).plan(DiffusionPipeline))
    assert pipe.device.type == "meta"
    assert {name for name, one in pipe.components.items() if one is not None} == components(demo)
    assert networks(demo) >= {"unet"}
    for name in networks(demo):
        assert {p.device.type for p in pipe.components[name].parameters()} == {"meta"}


def test_a_call_that_can_be_made_passes_without_a_word(caplog, recwarn) -> None:
    rehearsed("cat " * 500, "--model", "demo:stable_diffusion")
    assert not caplog.records
    assert not recwarn.list
    assert logging.root.manager.disable == 0


FOLLOWING = ["--controlnet", "demo", "--control-image", "picture.png"]
FOLLOWING += ["--set", "control_guidance_start=2"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--size", "60"], "divisible by 8"),
        (["--set", "clip_skip=50"], "clip_skip"),
        (["--set", "guidance_rescale=3"], "guidance_rescale"),
        (["--engine", "nothing=compile"], "'nothing'"),
        (FOLLOWING, "control_guidance_start"),
    ],
)
def test_what_the_pipeline_refuses_is_refused(line: list[str], words: str) -> None:
    import PIL.Image

    PIL.Image.new("RGB", (64, 64)).save("picture.png")
    with pytest.raises(ArgumentError, match=words):
        rehearsed("a cat", *line)
    assert logging.root.manager.disable == 0
