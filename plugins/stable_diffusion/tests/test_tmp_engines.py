from autopipe_devkit.conformance import EngineConformance
class TestCompile(EngineConformance):
    engine = "compile"
    options = {"backend": "eager"}
