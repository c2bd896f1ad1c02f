"""What the own API says that it can draw."""

from __future__ import annotations

from typing import Any

from autopipe.registry import default_registry


def test_tasks_have_schemas_and_inputs(server: Any) -> None:
    found = server.get("/tasks").json()
    tasks = {one["name"]: one for one in found["tasks"]}
    assert {"text2image", "image2image", "inpaint"} <= tasks.keys()
    assert tasks.keys() == {str(task) for task, of in default_registry().tasks.items() if of}
    mask = next(one for one in tasks["inpaint"]["inputs"] if one["kind"] == "mask")
    assert (mask["name"], mask["key"], mask["required"]) == ("mask_image", "mask", True)
    assert mask["help"]
    properties = tasks["inpaint"]["schema"]["properties"]
    assert {"prompt", "mask_image", "num_inference_steps", "seed", "size"} <= properties.keys()
    assert [one["name"] for one in found["models"]] == ["painter"]
    assert "EulerDiscrete" in found["schedulers"]
    assert found["limits"]["images"] == 10


def test_a_task_by_itself_and_for_a_model(server: Any) -> None:
    assert server.get("/tasks/text2image").json()["name"] == "text2image"
    one = server.get("/tasks/image2image?model=painter").json()["schema"]
    assert "StableDiffusionImg2ImgPipeline" in one["title"]
    for path in "/tasks/nothing", "/tasks/text2image?model=nothing":
        answered = server.get(path)
        assert answered.status_code == 404
        assert "nothing" in answered.json()["error"]["message"]
