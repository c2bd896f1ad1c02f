"""T2I-Adapters for autopipe: pictures as a condition, as an add-on and in pipelines."""
