"""The parameters of each call are exactly the arguments that its steps read."""

from __future__ import annotations

from typing import Any

import pytest
from support.record import parameters_of, reads_of

from autopipe.pipeline.call import pipeline_call
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe_components.latent import LatentPipeline, LatentText2Image

PIPELINES = {
    pipeline.name: pipeline
    for family in default_registry().families.values()
    for pipeline in family.pipelines
}


@pytest.mark.parametrize("name", PIPELINES)
def test_signature_and_record_agree(name: str) -> None:
    cls = load_target(PIPELINES[name].target)
    reads, parameters = reads_of(cls), parameters_of(cls)
    if not reads.all:
        pytest.skip("its steps get their arguments one by one")
    assert reads.needed <= parameters, "steps read what this call doesn't take"
    assert parameters <= reads.all, "the call takes what no step reads"


def test_latent_families_have_one_body() -> None:
    found = [load_target(one.target) for one in PIPELINES.values()]
    latent = [one for one in found if issubclass(one, LatentPipeline)]
    assert latent
    assert all("prompt" in reads_of(one).all for one in latent)
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


def test_the_walk_finds_what_is_read_and_no_more() -> None:
    assert (reads_of(_Complete).needed, reads_of(_Complete).wanted) == ({"prompt"}, {"strength"})
    assert parameters_of(_Complete) - reads_of(_Complete).all == {"wasted"}
    assert reads_of(_Short).needed - parameters_of(_Short) == {"missing"}
