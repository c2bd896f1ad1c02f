"""ONNX Runtime: an engine for any network, and pipelines in the onnx layout of the Hub."""
