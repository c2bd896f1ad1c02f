"""Checks requests on pipelines without weights, so that wrong jobs are named in advance."""

from __future__ import annotations

from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe_requests.inputs import is_address
from autopipe_requests.request import Request

from .plan import shared

MOST = 500
"""The most calls that are tried. The others are checked when they are drawn."""


class Rehearsal:
    """Tries calls until a network is needed; of requests that share everything but texts, one.

    Args:
        registry: the installed packages.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[bytes, str] = {}

    def __call__(self, request: Request) -> None:
        """Check a request.

        Raises:
            ArgumentError: if the pipeline refuses the arguments.
            ImageFileError: if a file can't be read.
        """
        if not _is_quick(request):
            return
        key = shared(request)
        if key not in self._known and len(self._known) < MOST:
            self._known[key] = self._refusal(request)
        if refusal := self._known.get(key):
            raise ArgumentError(refusal)

    def _refusal(self, request: Request) -> str:
        from autopipe_requests.rehearsal import check_call, class_name_of

        name = class_name_of(request.checkpoint, self._registry)
        try:
            check_call(request, name, self._registry)
        except ArgumentError as error:
            return str(error)
        return ""


def _is_quick(request: Request) -> bool:
    """Whether a call needs no input files, which may be many, and no checkpoint of a file."""
    values = request.arguments.values()
    has_files = any(isinstance(one, dict) or is_address(str(one)) for one in values)
    return not has_files and request.checkpoint.config is None
