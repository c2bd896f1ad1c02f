"""The plan of a batch: the complete request of each job, each once, in the order of the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from autopipe.errors import ArgumentError, AutopipeError
from autopipe.wording import cut, error_summary, shown
from autopipe_requests.completing import SHORT
from autopipe_requests.request import Request

from .jobs import Line
from .template import Complete, Templates
from .work import Group, Job

MOST_SHOWN = 20
"""The most wrong lines that an error lists."""

_ALONE = ("prompt", "negative_prompt")
"""Arguments that may differ between requests that are drawn together."""

_RIVALS = (("checkpoint", "model", "revision", "config"), ("size", "width", "height"))
"""Keys that replace each other: with one in a job, the defaults of the others don't count."""


@dataclass
class Plan:
    """What is to be drawn.

    Attributes:
        requests: the requests as JSON, by id.
        lines: the numbers of the lines that ask for them first, by id.
        cells: the id of each image: for every job of the file, for every combination of swept
            values, for every seed; empty for what isn't valid.
        titles: the prompts of the first jobs, for people.
        wrong: the lines that are not valid.
    """

    requests: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    cells: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    wrong: list[Line] = field(default_factory=list)

    @property
    def repeated(self) -> int:
        """The number of images that are asked for more than once, every time but the first."""
        return sum(map(bool, self.cells)) - len(self.requests)


def plan(
    lines: Iterable[Line],
    complete: Complete,
    *,
    defaults: Mapping[str, Any],
    swept: Sequence[Mapping[str, Any]] = ({},),
    images: int = 1,
    titles: int = 0,
    check: Callable[[Request], object] | None = None,
) -> Plan:
    """Return the plan for the jobs of a file.

    A job without a seed gets one that follows from its content, so that it is the same every time,
    and the same for all swept values.

    Args:
        complete: completes and checks a request.
        defaults: keys and values for jobs that lack them. A job that is a whole request, with the
            key `checkpoint`, takes none.
        swept: the combinations of swept values; they replace those of a job.
        images: the number of images of each, whose seeds count up.
        titles: the number of titles to keep.
        check: checks what completing can't, and raises `AutopipeError`.
    """
    found = Plan()
    defaults, complete = _plain(defaults), Templates(complete)
    for line in lines:
        if line.given is None:
            found.wrong.append(line)
            found.cells += [""] * (len(swept) * images)
            continue
        job = _plain(line.given)
        if "checkpoint" not in job:
            job = {**_without_rivals(defaults, job), **job}
        if len(found.titles) < titles:
            found.titles.append(cut(" ".join(str(job.get("prompt") or "").split()), 200))
        seed = None
        for values in swept:
            chosen = _plain(values)
            try:
                first = complete({"seed": 0, **_without_rivals(job, chosen), **chosen})
                if check is not None:
                    check(first)
                if "seed" not in job and "seed" not in chosen:
                    if seed is None:
                        seed = _seed_of(job, None if chosen else first, complete)
                    first = first.with_seed(seed)
                made = [(one.id, _data(one)) for one in _counted_up(first, images)]
            except (AutopipeError, ValueError) as error:
                text = str(error) if isinstance(error, AutopipeError) else error_summary(error)
                found.wrong.append(Line(line.number, None, " ".join(text.split())))
                found.cells += [""] * images
                continue
            found.cells += [one for one, _ in made]
            for one, data in made:
                found.requests.setdefault(one, data)
                found.lines.setdefault(one, line.number)
    return found


def check_lines(found: Plan, file: str) -> None:
    """Raise `ArgumentError` if lines are not valid; it names the first of them."""
    if found.wrong:
        lines = [f"line {one.number}: {cut(one.error, 300)}" for one in found.wrong[:MOST_SHOWN]]
        if (more := len(found.wrong) - MOST_SHOWN) > 0:
            lines.append(f"and {more:,} more")
        raise ArgumentError(
            f"nothing was drawn, because {shown(file)} has lines that are not valid; correct "
            f"them, or leave them out with --keep-going:\n  " + "\n  ".join(lines)
        )


def _seed_of(job: Mapping[str, Any], whole: Request | None, complete: Complete) -> int:
    """Return the seed of a job, which follows from its request without what is swept.

    Args:
        whole: that request with any seed, if it is known.
    """
    try:
        content = (whole or complete({**job, "seed": 0})).with_seed(0).canonical()
    except AutopipeError:  # For example if the prompt is swept.
        content = json.dumps(job, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big")


def _counted_up(first: Request, images: int) -> list[Request]:
    if first.seed + images > 2**63:
        raise ArgumentError(f"the seed {first.seed} is too large for {images} images")
    return [first, *(first.with_seed(first.seed + i) for i in range(1, images))]


def _data(request: Request) -> bytes:
    return request.model_dump_json(exclude_defaults=True).encode()


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys and values with the long names of arguments, and without None."""
    found = {key.replace("-", "_"): value for key, value in given.items() if value is not None}
    inner = found.get("arguments")
    if isinstance(inner, Mapping) and not found.keys() & inner.keys():
        found.pop("arguments")
        found |= inner
    long = {SHORT.get(key, key): value for key, value in found.items()}
    # Twice the same argument: the completion says so.
    return long if len(long) == len(found) else found


def _without_rivals(given: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    rivals = {key for keys in _RIVALS if others.keys() & set(keys) for key in keys}
    return {key: value for key, value in given.items() if key not in rivals}


class Groups(Sequence[Group]):
    """The groups of jobs to do, which are read from JSON when they are needed.

    Args:
        requests: requests as JSON, by id.
        ids: the ids of each group.
        deaths: the number of workers that died of a job, by id.
    """

    def __init__(
        self,
        requests: Mapping[str, bytes],
        ids: Sequence[tuple[str, ...]],
        deaths: Mapping[str, int],
    ) -> None:
        self._requests, self._ids, self._deaths = requests, ids, deaths

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Group: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Group]: ...

    def __getitem__(self, place: int | slice) -> Group | Sequence[Group]:
        if isinstance(place, slice):
            return Groups(self._requests, self._ids[place], self._deaths)
        return tuple(
            Job(
                id=one,
                request=Request.model_validate_json(self._requests[one]),
                deaths=self._deaths.get(one, 0),
            )
            for one in self._ids[place]
        )

    def __iter__(self) -> Iterator[Group]:
        return (self[place] for place in range(len(self)))


def grouped(
    requests: Mapping[str, bytes], ids: Iterable[str], most: int, alone: Container[str] = ()
) -> list[tuple[str, ...]]:
    """Return groups of up to `most` requests that only differ in prompts and seed.

    A group has the place of its first request.

    Args:
        alone: the ids of requests that get a group of their own.
    """
    groups: list[list[str]] = []
    open_groups: dict[bytes, list[str]] = {}
    for one in ids:
        if most == 1 or one in alone:
            groups.append([one])
            continue
        key = shared(Request.model_validate_json(requests[one]))
        group = open_groups.get(key)
        if group is None or len(group) == most:
            group = open_groups[key] = []
            groups.append(group)
        group.append(one)
    return [tuple(group) for group in groups]


_STEPS, _USUAL_STEPS, _USUAL_SIZE = "num_inference_steps", 50, (512, 512)


def longest_first(
    requests: Mapping[str, bytes], groups: Iterable[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Return the groups with those first that probably take longest; equal ones keep their order.

    A long one at the end would be drawn by one worker while the others have nothing to do.
    """
    return sorted(groups, key=lambda ids: -sum(_work(requests[one]) for one in ids))


def _work(request: bytes) -> float:
    """Return the number of steps times pixels, as far as a request in JSON tells them."""
    told = json.loads(request)
    steps, (width, height) = told.get("arguments", {}).get(_STEPS), told.get("size", _USUAL_SIZE)
    return float(width * height * (steps if isinstance(steps, int) else _USUAL_STEPS))


def shared(request: Request) -> bytes:
    """Return a hash of what the requests of a group share."""
    arguments = {name: one for name, one in request.arguments.items() if name not in _ALONE}
    shared = request.model_copy(update={"seed": 0, "arguments": arguments})
    texts = [name for name in _ALONE if name in request.arguments]
    return hashlib.sha256(f"{texts}{shared.canonical()}".encode()).digest()
