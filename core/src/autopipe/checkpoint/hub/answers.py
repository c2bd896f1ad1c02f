"""What the Hub and its client answer where they refuse or fail, in words of ours."""

from __future__ import annotations

import errno

from ...errors import CheckpointError
from ...wording import shown
from ..atomic import is_full
from ..source import HubOptions


def first_line(error: Exception) -> str:
    """What an error of the client says, without the paragraphs that follow."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def status_of(error: BaseException) -> int | None:
    """The HTTP status that the Hub answered with, if it answered."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def may_pass(error: BaseException) -> bool:
    """Whether a later attempt may succeed: no answer, too many requests, a fault of the server."""
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
    """`error` of the Hub's client as one of ours, with what to do."""
    from huggingface_hub import errors

    log_in = "run `hf auth login` or pass token="
    known = {
        errors.GatedRepoError: f"access to {repository} must be granted: ask for it on its page on "
        f"the Hub, then {log_in}",
        errors.RepositoryNotFoundError: f"there is no folder {shown(repository)}, and no "
        f"repository of this name on the Hub that you may see; check the name, and if it is "
        f"private {log_in}",
        errors.RevisionNotFoundError: f"{repository} has no revision {shown(options.revision)}; "
        f"check its branches and tags",
        errors.HFValidationError: f"{shown(repository)} is neither a local folder nor a valid "
        f"repository id; check the path",
        errors.LocalTokenNotFoundError: f"token=True needs a token on this machine; {log_in}",
    }
    for kind, said in known.items():
        if isinstance(error, kind):
            return CheckpointError(said)
    if isinstance(error, OSError) and is_full(error):
        return CheckpointError(
            f"{repository} can't be fetched: the disk is full. What was fetched whole is kept; "
            f"free some space, or pass cache_dir= on another disk"
        )
    told = {
        401: f"the Hub doesn't accept the token; {log_in} that is valid",
        403: f"your token may not do this; ask the owner of {repository}, or {log_in}",
        429: "the Hub has had too many requests; wait some minutes",
    }.get(status_of(error) or 0, "check the connection and try again; what was fetched is kept")
    return CheckpointError(
        f"{repository} can't be fetched from the Hub: {first_line(error)}; {told}"
    )
