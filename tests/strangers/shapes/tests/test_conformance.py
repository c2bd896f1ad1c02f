"""What every family promises, checked for this one."""

from importlib.resources import files

import pytest

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "shapes"
    size = (16, 16)

    @pytest.fixture
    def checkpoint(self) -> dict[str, str]:
        edit = str(files("autopipe_shapes") / "demo_edit")
        return {"shapes": "demo:shapes", "shapes_edit": edit}
