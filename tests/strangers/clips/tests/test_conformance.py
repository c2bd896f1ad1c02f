"""What every family promises, checked for this one."""

from autopipe_devkit.conformance import Conformance


class TestConformance(Conformance):
    family = "clips"
