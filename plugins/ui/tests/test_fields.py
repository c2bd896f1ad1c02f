"""Fields from JSON schemas."""

from __future__ import annotations

from typing import Any

import pytest

from autopipe.registry import default_registry
from autopipe.tasks import Task
from autopipe_requests.offered import schema_of
from autopipe_ui.fields import Field, field_of, fields_of


@pytest.fixture(scope="module")
def inpaint() -> dict[str, Any]:
    """The task inpaint, as the server describes it for Stable Diffusion."""
    task = Task("inpaint")
    inputs = [
        {"name": one.name, "kind": one.kind, "required": one.required, "help": one.help}
        for one in task.inputs
    ]
    name = "StableDiffusionInpaintPipeline"
    return {
        "name": "inpaint",
        "inputs": inputs,
        "schema": schema_of(task, default_registry(), name, flat=True),
    }


def test_fields_of_a_task(inpaint: dict[str, Any]) -> None:
    fields = {one.name: one for one in fields_of(inpaint)}
    assert [*fields][:3] == ["prompt", "image", "mask_image"]
    kinds = {name: one.kind for name, one in fields.items()}
    assert {name: kinds[name] for name in ("prompt", "image", "mask_image", "seed")} == {
        "prompt": "text", "image": "image", "mask_image": "mask", "seed": "integer",
    }  # fmt: skip
    assert (kinds["paste_unmasked"], kinds["timesteps"]) == ("flag", "json")
    strength = fields["strength"]
    assert (strength.kind, strength.least, strength.most) == ("number", 0.0, 1.0)
    assert (strength.usual, fields["eta"].usual) == (True, False)
    assert fields["image"].required
    assert not fields["strength"].required
    # What every request has is no field of the form.
    assert fields.keys().isdisjoint(("checkpoint", "task", "addons", "conditions", "size"))


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("integer", "12", 12),
        ("integer", 12.0, 12),
        ("integer", str(2**62 + 1), 2**62 + 1),
        ("number", "0.5", 0.5),
        ("number", "", None),
        ("text", "  ", None),
        ("text", " a ", " a "),
        ("flag", "true", True),
        ("flag", False, False),
        ("json", "[1, 2]", [1, 2]),
        ("json", None, None),
    ],
)
def test_values(kind: str, given: Any, value: Any) -> None:
    assert Field("some", kind).value(given) == value


@pytest.mark.parametrize(
    ("field", "given", "told"),
    [
        (Field("num_inference_steps", "integer"), "few", "Steps is a whole number"),
        (Field("seed", "integer"), "1.5", "Seed is a whole number"),
        (Field("seed", "integer"), "inf", "Seed is a whole number"),
        (Field("scale", "number"), "high", "Scale is a number"),
        (Field("scale", "number", least=0, most=1), "2", "Scale is from 0 to 1"),
        (Field("scale", "number", least=0), "-1", "Scale is at least 0"),
        (Field("scale", "number", most=1), "nan", "Scale"),
        (Field("some_list", "json"), "[1", "Some list is not valid"),
        (Field("some_list", "json"), "[" * 100_000, "Some list is not valid"),
    ],
)
def test_values_that_are_not_valid(field: Field, given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        field.value(given)


def test_inputs_of_addons() -> None:
    one = field_of({"name": "glow_by", "kind": "value", "required": False, "help": "how much"})
    assert (one.kind, one.help, one.required) == ("json", "how much", False)
    assert field_of({"name": "face", "kind": "image"}).kind == "image"
