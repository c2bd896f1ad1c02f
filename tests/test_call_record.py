"""The parameters of each call are exactly the arguments that its steps read."""

from __future__ import annotations

from typing import Any

import pytest
from support.record import parameters_of, reads_of

from autopipe.pipeline.call import pipeline_call
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe_components.latent import LatentPipeline, LatentText2Image
from autopipe_requests.described import description_of

PIPELINES = {
    pipeline.name: pipeline
    for family in default_registry().families.values()
    for pipeline in family.pipelines
}


def is_ignored(cls: type[Any], name: str) -> bool:
    """Return whether the call says of an argument that it only keeps its place."""
    return description_of(cls, name).startswith("ignored")


@pytest.mark.parametrize("name", PIPELINES)
def test_signature_and_record_agree(name: str) -> None:
    cls = load_target(PIPELINES[name].target)
    reads, parameters = reads_of(cls), parameters_of(cls)
    if not reads.all:
        pytest.skip("its steps get their arguments one by one")
    assert reads.needed <= parameters | reads.added, "steps read what this call doesn't take"
    unread = {one for one in parameters - reads.all if not is_ignored(cls, one)}
    assert unread == set(), "the call takes what no step reads"


def test_latent_families_have_one_body() -> None:
    found = [load_target(one.target) for one in PIPELINES.values()]
    latent = [one for one in found if issubclass(one, LatentPipeline)]
    assert latent
    assert [one for one in latent if "num_inference_steps" not in reads_of(one).needed] == []
    prompted = [one for one in latent if "prompt" in parameters_of(one)]
    assert prompted
    assert [one for one in prompted if "prompt" not in reads_of(one).all] == []
    assert {one.run_task.__module__.rpartition(".")[0] for one in latent} == {
        "autopipe_components.latent"
    }


class _Steps(LatentPipeline):
    def check_prompts(self) -> int:
        call = self.call
        return len(call.prompt)

    def _unused(self) -> Any:
        return self.call.never

    @property
    def _strength(self) -> Any:
        return self.call.get("strength")


class _Complete(_Steps, LatentText2Image):
    @pipeline_call
    def __call__(self, prompt: Any = None, strength: Any = None, wasted: Any = None) -> Any:
        return self.check_prompts(), self._strength


class _Short(_Complete):
    def check_prompts(self) -> int:
        prompts, call = super().check_prompts(), self.call
        return prompts + call.missing


class _Adding(_Short):
    def begin_call(self) -> int:
        self.call = self.call.replace(missing=1)
        other = self.call.replace(elsewhere=1)
        return len(other)

    @pipeline_call
    def __call__(self, prompt: Any = None) -> Any:
        return self.begin_call(), self.check_prompts()


class _Ignoring(_Complete):
    @pipeline_call
    def __call__(self, prompt: Any = None, strength: Any = None, wasted: Any = None) -> Any:
        """Run.

        Args:
            prompt: read.
            wasted: ignored.
        """
        return self.check_prompts(), self._strength


def test_the_walk_finds_what_is_read_and_no_more() -> None:
    assert (reads_of(_Complete).needed, reads_of(_Complete).wanted) == ({"prompt"}, {"strength"})
    assert parameters_of(_Complete) - reads_of(_Complete).all == {"wasted"}
    assert reads_of(_Short).needed - parameters_of(_Short) == {"missing"}
    assert reads_of(_Short).added == set()


def test_a_step_adds_arguments_for_those_after_it() -> None:
    assert reads_of(_Adding).added == {"missing"}


def test_only_what_the_call_calls_ignored_need_not_be_read() -> None:
    names = parameters_of(_Ignoring)
    assert {one for one in names if is_ignored(_Ignoring, one)} == {"wasted"}
    assert not any(is_ignored(_Complete, one) for one in names)
