"""What the values of `custom_pipeline=` mean that can't be used, and what to do instead."""

from __future__ import annotations

from ..errors import UnsafeCheckpointError
from ..resolution.reference import instead_of
from ..wording import shown
from .names import is_plain

MAIN = "pipeline.py"
"""The file in a folder or repository that defines a custom pipeline."""


def without_file(name: str) -> str:
    """Return the message for a name that is neither a file, a folder nor a repository."""
    if not is_plain(name) or not name.isidentifier():
        return (
            f"there is no file or folder {shown(name)} for custom_pipeline=; give a .py file, a "
            f"folder with {MAIN}, or a repository id like 'owner/name'"
        )
    same = instead_of("community").get(name)
    return (
        f"custom_pipeline={shown(name)} names a community pipeline of diffusers. "
        + (f"Here {same}. To run its code itself" if same else "To run its code")
        + f", fetch examples/community/{name}.py of diffusers' sources, read it, and pass "
        f"custom_pipeline='{name}.py', trust_remote_code=True"
    )


def check_trusted(name: object, is_trusted: object) -> None:
    """Check that the caller trusts the code that `custom_pipeline=` names.

    Raises:
        UnsafeCheckpointError: if not. A community name is answered with what does the same.
    """
    if is_trusted is True:
        return
    plain = isinstance(name, str) and name in instead_of("community")
    same = f" Here {instead_of('community')[str(name)]}." if plain else ""
    raise UnsafeCheckpointError(
        f"custom_pipeline={shown(name)} asks to run code that comes with no package.{same} Read "
        f"the code, and pass trust_remote_code=True to run it; or install the custom pipeline as a "
        f"plugin and load the checkpoint without custom_pipeline="
    )
