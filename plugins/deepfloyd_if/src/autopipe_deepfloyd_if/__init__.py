"""The DeepFloyd IF family."""
