"""The samples of a task, as far as a pipeline takes them."""

from __future__ import annotations

from autopipe.tasks import Input, Task
from autopipe_devkit.conformance.samples import as_served, batched

ENLARGING = Task(
    "enlarging",
    auto_class="AutoPipelineForEnlarging",
    inputs=(Input("prompt", "text", required=False), Input("image", "image")),
    parameters=("image",),
    samples={"prompt": ("a", "b")},
)


def test_optional_inputs_that_a_pipeline_lacks_are_left_out() -> None:
    assert as_served(ENLARGING, ("prompt", "image")) is ENLARGING
    served = as_served(ENLARGING, ("image",))
    assert served == ENLARGING
    assert [one.name for one in served.inputs] == ["image"]
    assert dict(served.samples) == {}
    assert batched(served) == ["image"]


def test_required_inputs_stay_so_that_their_absence_is_found() -> None:
    assert [one.name for one in as_served(ENLARGING, ()).inputs] == ["image"]
