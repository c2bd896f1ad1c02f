"""What every family promises, checked for this one with the checkpoint that it ships."""

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "doodle"
    size = (16, 16)
