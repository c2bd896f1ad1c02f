"""Converts failures of the Hub and its client to errors of this library."""

from __future__ import annotations

import errno

from ...errors import CheckpointError
from ...wording import shown
from ..atomic import is_full
from ..source import HubOptions


def first_line(error: Exception) -> str:
    """Return the first line of an error of the client."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of the Hub's response, or None."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def may_pass(error: BaseException) -> bool:
    """Whether a retry may succeed: no response, too many requests, or an error of the server."""
    from huggingface_hub.errors import LocalTokenNotFoundError

    if isinstance(error, LocalTokenNotFoundError):
        return False
    status = status_of(error)
    if status is not None:
        return status == 429 or status >= 500
    if isinstance(error, OSError) and (is_full(error) or error.errno == errno.EACCES):
        return False
    return isinstance(error, OSError) or any(
        kind.__name__ in ("TransportError", "XetDownloadError") for kind in type(error).__mro__
    )


def explained(error: Exception, repository: str, options: HubOptions) -> CheckpointError:
    """Return `error` of the Hub's client as an error of this library that says what to do."""
    from huggingface_hub import errors

    log_in = "run `hf auth login` or pass token="
    known = {
        errors.GatedRepoError: f"access to {repository} must be granted: request it on its page on "
        f"the Hub, then {log_in}",
        errors.RepositoryNotFoundError: f"there is no folder {shown(repository)}, and no "
        f"accessible repository of this name on the Hub; check the name, and if it is private, "
        f"{log_in}",
        errors.RevisionNotFoundError: f"{repository} has no revision {shown(options.revision)}; "
        f"check its branches and tags",
        errors.HFValidationError: f"{shown(repository)} is neither a local folder nor a valid "
        f"repository id; check the path",
        errors.LocalTokenNotFoundError: f"token=True needs a token on this machine; {log_in}",
    }
    for kind, text in known.items():
        if isinstance(error, kind):
            return CheckpointError(text)
    if isinstance(error, OSError) and is_full(error):
        return CheckpointError(
            f"{repository} can't be fetched: the disk is full. Complete files are kept; free disk "
            f"space, or pass cache_dir= on another disk"
        )
    hint = {
        401: f"the Hub doesn't accept the token; {log_in} with a valid one",
        403: f"the token has no permission; ask the owner of {repository}, or {log_in}",
        429: "the Hub received too many requests; wait some minutes",
    }.get(status_of(error) or 0, "check the connection and try again; fetched files are kept")
    return CheckpointError(
        f"{repository} can't be fetched from the Hub: {first_line(error)}; {hint}"
    )
