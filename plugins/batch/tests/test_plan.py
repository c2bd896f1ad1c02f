"""The plan: complete requests, seeds, sweeps, what is asked for twice, and groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from autopipe.errors import ArgumentError
from autopipe_batch.jobs import Line
from autopipe_batch.plan import Groups, Plan, check_lines, grouped, longest_first, plan
from autopipe_requests.request import Checkpoint, Request


def complete(given: Mapping[str, Any]) -> Request:
    """A stand-in for the completion: everything but the seed is an argument."""
    rest = dict(given)
    if "bad" in rest.values():
        raise ArgumentError("'bad' is\nnot valid")
    seed = rest.pop("seed")
    return Request(checkpoint=Checkpoint(name="demo"), seed=seed, arguments=rest)


def planned(*jobs: Mapping[str, Any] | None, **options: Any) -> Plan:
    lines = [Line(i, job, "" if job else "no JSON") for i, job in enumerate(jobs, start=1)]
    return plan(lines, complete, **{"defaults": {}, **options})


def requests_of(found: Plan) -> list[Request]:
    return [
        group[0].request for group in Groups(found.requests, [(i,) for i in found.requests], {})
    ]


def test_a_job_replaces_defaults_whatever_name_it_uses() -> None:
    found = planned(
        {"prompt": "a", "steps": 3},
        {"prompt": "b", "width": 64, "height": 32},
        {"prompt": "c", "model": "x"},
        {"prompt": "d", "checkpoint": "y"},
        defaults={
            "num_inference_steps": 9, "guidance": 2, "size": [8, 8], "seed": 1, "revision": "r",
        },
    )  # fmt: skip
    assert [one.arguments for one in requests_of(found)] == [
        {"prompt": "a", "num_inference_steps": 3, "guidance_scale": 2, "size": [8, 8],
         "revision": "r"},
        {"prompt": "b", "num_inference_steps": 9, "guidance_scale": 2, "width": 64, "height": 32,
         "revision": "r"},
        {"prompt": "c", "num_inference_steps": 9, "guidance_scale": 2, "size": [8, 8],
         "model": "x"},
        {"prompt": "d", "checkpoint": "y"},
    ]  # fmt: skip


def test_arguments_of_a_whole_request_can_be_swept() -> None:
    job = {"checkpoint": "y", "seed": 3, "arguments": {"prompt": "a", "guidance_scale": 1}}
    found = planned(job, swept=[{"guidance": 2}, {"guidance": 4}])
    assert [one.arguments["guidance_scale"] for one in requests_of(found)] == [2, 4]


def test_a_seed_follows_from_the_content() -> None:
    one, other = planned({"prompt": "a"}, {"prompt": "b"}), planned({"prompt": "a"})
    seeds = [request.seed for request in requests_of(one)]
    assert len(set(seeds)) == 2
    assert seeds[0] == requests_of(other)[0].seed
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_all_swept_values_have_the_same_seed() -> None:
    alone = requests_of(planned({"prompt": "a"}))[0].seed
    swept = [{"steps": 1}, {"steps": 2}]
    assert {one.seed for one in requests_of(planned({"prompt": "a"}, swept=swept))} == {alone}
    prompts = [{"prompt": "bad"}, {"prompt": "b"}, {"prompt": "c"}]
    assert len({r.seed for r in requests_of(planned({"steps": 1}, swept=prompts))}) == 1


def test_seeds_count_up() -> None:
    found = requests_of(planned({"prompt": "a", "seed": 7}, images=3))
    assert [one.seed for one in found] == [7, 8, 9]
    assert "too large" in planned({"seed": 2**63 - 2}, images=3).wrong[0].error


def test_the_same_request_twice_is_one_picture() -> None:
    found = planned({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"})
    assert found.repeated == 1
    assert len(found.requests) == 2
    assert found.cells[0] == found.cells[2]
    assert list(found.requests) == found.cells[:2]


def test_wrong_lines_leave_gaps_among_the_cells() -> None:
    found = planned({"a": "x"}, None, {"a": "y"}, swept=[{"b": 1}, {"b": "bad"}], images=2)
    assert [bool(one) for one in found.cells] == [
        True, True, False, False,  False, False, False, False,  True, True, False, False,
    ]  # fmt: skip
    assert [(one.number, one.error) for one in found.wrong] == [
        (1, "'bad' is not valid"), (2, "no JSON"), (3, "'bad' is not valid"),
    ]  # fmt: skip


def test_all_wrong_lines_are_named_up_to_twenty() -> None:
    check_lines(planned({"a": 1}), "jobs")
    with pytest.raises(ArgumentError, match=r"(?s)line 1: no JSON.*line 20: no JSON.*and 5 more"):
        check_lines(planned(*[None] * 25), "jobs")


def test_titles_are_those_of_the_first_jobs() -> None:
    found = planned({"prompt": "a\n b"}, {"x": 1}, {"prompt": "c"}, titles=2)
    assert found.titles == ["a b", ""]


def test_groups_are_read_when_they_are_needed() -> None:
    found = planned({"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"})
    ids = list(found.requests)
    groups = Groups(found.requests, [tuple(ids[:2]), (ids[2],)], {ids[2]: 1})
    assert len(groups) == 2
    assert [[job.id for job in group] for group in groups] == [ids[:2], [ids[2]]]
    assert [job.deaths for group in groups for job in group] == [0, 0, 1]
    assert all(job.request.id == job.id for group in groups for job in group)
    assert [group[0].id for group in groups[1:]] == [ids[2]]
    assert groups[-1][0].request.arguments == {"prompt": "c"}


def test_requests_that_differ_in_prompts_and_seed_are_grouped() -> None:
    found = planned(
        {"prompt": "a", "steps": 1}, {"prompt": "b", "steps": 2}, {"prompt": "c", "steps": 1},
        {"prompt": "d", "steps": 1, "negative": "x"}, {"prompt": "e", "steps": 1},
        {"prompt": "f", "steps": 1},
    )  # fmt: skip
    a, b, c, d, e, f = found.requests
    assert grouped(found.requests, found.requests, 1) == [(a,), (b,), (c,), (d,), (e,), (f,)]
    assert grouped(found.requests, found.requests, 2) == [(a, c), (b,), (d,), (e, f)]
    assert grouped(found.requests, found.requests, 9) == [(a, c, e, f), (b,), (d,)]
    assert grouped(found.requests, found.requests, 9, {c}) == [(a, e, f), (b,), (c,), (d,)]


def test_what_takes_longest_is_first() -> None:
    steps = "num_inference_steps"
    few, many = {"arguments": {steps: 10}}, {"arguments": {steps: 90}}
    small, large = {"size": [64, 64]}, {"size": [2048, 64]}
    requests = {
        name: json.dumps(one).encode()
        for name, one in {
            "a": few | small, "b": many | small, "c": few | large, "d": few, "e": {"arguments": {}},
            "f": few | small,
        }.items()
    }  # fmt: skip
    groups = [("a",), ("b",), ("c",), ("d",), ("e",), ("f",)]
    expected = [("e",), ("d",), ("c",), ("b",), ("a",), ("f",)]
    assert longest_first(requests, groups) == expected
    assert longest_first(requests, [("a", "f"), ("c", "a")]) == [("c", "a"), ("a", "f")]


def test_requests_without_arguments_are_ordered_as_well() -> None:
    found = planned({"seed": 1}, {"seed": 2})
    ids = [(one,) for one in found.requests]
    assert longest_first(found.requests, ids) == ids


def test_requests_have_the_line_that_asks_for_them_first() -> None:
    found = planned({"seed": 1}, None, {"seed": 2}, {"seed": 1}, images=2)
    assert [found.lines[one] for one in found.requests] == [1, 1, 3]
