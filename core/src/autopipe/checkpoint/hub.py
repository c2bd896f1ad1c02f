"""Repositories of the Hub, through huggingface_hub and its cache."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, DamagedFileError
from .names import inside
from .source import HubOptions, LocalSource, Source

_PROBES = ("model_index.json", "config.json", "scheduler_config.json", "unet/config.json")


@dataclass(frozen=True)
class HubSource:
    """One commit of a repository: what it lists is fetched from that commit and no other.

    Files are asked for by the revision that the caller named, so that the cache remembers which
    commit it stood for and opens it without the Hub later; if the revision has moved on
    meanwhile, they are asked for by the commit.
    """

    repository: str
    commit: str
    sizes: Mapping[str, int]
    options: HubOptions

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repository}@{self.commit[:12]}"

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        prefix = "".join(f"{part}/" for part in folder)
        return {
            path.removeprefix(prefix): size
            for path, size in self.sizes.items()
            if path.startswith(prefix) and "/" not in path.removeprefix(prefix)
        }

    def fetch(self, paths: Iterable[str]) -> Path:
        """See `Source`."""
        from huggingface_hub import snapshot_download

        wanted = sorted(set(paths))
        absent = [path for path in wanted if path not in self.sizes]
        if absent:
            raise CheckpointError(f"{self.name} has no file {absent[0]}")
        try:
            for revision in (self.options.revision, self.commit):
                folder = Path(
                    snapshot_download(
                        self.repository,
                        revision=revision,
                        cache_dir=self.options.cache_dir,
                        force_download=self.options.force_download,
                        token=self.options.token,
                        allow_patterns=[glob.escape(path) for path in wanted],
                    )
                )
                if folder.name == self.commit:
                    break
        except Exception as error:
            raise explained(error, self.repository, self.options) from error
        for path in wanted:
            self._check(inside(folder, path), self.sizes[path])
        return folder

    def _check(self, file: Path, size: int) -> None:
        found = file.stat().st_size if file.is_file() else -1
        if found < 0 or size not in (-1, found):
            raise DamagedFileError(
                f"{file} should have {size:,} bytes and has {max(found, 0):,}; "
                f"load with force_download=True to fetch it again"
            )


def open_repository(repository: str, options: HubOptions) -> Source:
    """The repository at one commit: of the Hub, or of the cache where the Hub can't be reached.

    Raises:
        CheckpointError: there is no such repository or revision, access to it is not granted,
            or the Hub can't be reached and nothing is in the cache.
    """
    from huggingface_hub import constants, model_info
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise explained(error, repository, options) from error
    if options.local_files_only or constants.HF_HUB_OFFLINE:
        return _cached(repository, options, None)
    try:
        info = model_info(
            repository, revision=options.revision, token=options.token, files_metadata=True
        )
    except Exception as error:
        if _is_refusal(error):
            raise explained(error, repository, options) from error
        return _cached(repository, options, error)
    sizes = {s.rfilename: -1 if s.size is None else s.size for s in info.siblings or ()}
    return HubSource(repository, str(info.sha), sizes, options)


def _cached(repository: str, options: HubOptions, reason: Exception | None) -> Source:
    """What the cache holds of the repository, without opening a socket."""
    from huggingface_hub import try_to_load_from_cache

    for probe in _PROBES:
        found = try_to_load_from_cache(
            repository, probe, cache_dir=options.cache_dir, revision=options.revision
        )
        if isinstance(found, str):
            return LocalSource(Path(found).parents[probe.count("/")])
    why = f"the Hub can't be reached ({reason})" if reason else "only local files are allowed"
    raise CheckpointError(
        f"{repository} is neither a local folder nor in the cache, and {why}; check the path, or "
        f"run `hf download {repository}` while online"
    ) from reason


def _is_refusal(error: Exception) -> bool:
    """Whether the Hub answered, and said no."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    return isinstance(error, (RepositoryNotFoundError, RevisionNotFoundError))


def explained(error: Exception, repository: str, options: HubOptions) -> CheckpointError:
    """`error` of the Hub's client as one of ours, with what to do."""
    from huggingface_hub import errors

    cases: tuple[tuple[Any, str], ...] = (
        (
            errors.GatedRepoError,
            f"access to {repository} must be granted; ask for it on its page on the Hub, then "
            f"run `hf auth login` or pass token=",
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no folder {repository!r}, and no repository of this name on the Hub that "
            f"you may see; check the name, and if it is private run `hf auth login` or pass token=",
        ),
        (
            errors.RevisionNotFoundError,
            f"{repository} has no revision {options.revision!r}; check its branches and tags",
        ),
        (
            errors.HFValidationError,
            f"{repository!r} is neither a local folder nor a valid repository id; check the path",
        ),
    )
    for kind, text in cases:
        if isinstance(error, kind):
            return CheckpointError(text)
    return CheckpointError(
        f"{repository} can't be fetched from the Hub: {error}; check the connection and try again"
    )
