"""Placement of networks on devices, independent of pipelines."""
