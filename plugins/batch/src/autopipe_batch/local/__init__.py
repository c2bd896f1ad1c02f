"""The runner `local`: a pool of processes on this machine."""

from .pool import run

__all__ = ["run"]
