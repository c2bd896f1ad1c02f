"""Captions: what is taken out, and what happens without the packages for it."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import Any

import pytest

from autopipe_deepfloyd_if import captions
from autopipe_deepfloyd_if.captions import clean_caption, prepare_captions

needs_packages = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("bs4", "ftfy")),
    reason="needs beautifulsoup4 and ftfy: pip install autopipe-deepfloyd-if[captions]",
)


def test_without_cleaning_captions_are_lower_case_without_outer_spaces() -> None:
    assert prepare_captions([" A Red  CAT\n", ""], clean=False) == ["a red  cat", ""]


@pytest.mark.parametrize("absent", ["bs4", "ftfy"])
def test_without_its_packages_there_is_a_warning_and_no_cleaning(
    absent: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        captions.importlib.util, "find_spec", lambda name: None if name == absent else find(name)
    )
    with caplog.at_level(logging.WARNING):
        assert prepare_captions([" A <b>Cat</b>"], clean=True) == ["a <b>cat</b>"]
    (message,) = {record.getMessage() for record in caplog.records}
    assert "pip install " in message
    assert {"bs4": "beautifulsoup4", "ftfy": "ftfy"}[absent] in message


@needs_packages
@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A Red CAT", "a red cat"),
        ("see https://a.com/b?x or www.shop.net", "see ?x or"),
        ("<b>a cat</b> &amp; a dog", "a cat a dog"),
        ("a <person> with @nick", "a person with"),
        ("a cat 漢字 here", "a cat here"),
        ("a cat – «quoted» on ‘my’ hat", "a cat - \"quoted\" on 'my' hat"),
        ("cat.jpg on 10.0.0.1", "on"),
        ("cat #123 123456789", "cat"),
        ("this-is-my-cute-cat", "this is my cute cat"),
        ("a cat free shipping and worldwide shipping", "a cat and"),
        ("item jc6640 and jc6640vc", "item and"),
        ("a poster 10x20", "a poster"),
        ("***SALE*** a  cat!!", "sale a cat!!"),
        ('"a cat"', "a cat"),
        ("one,two", "one, two"),
        ("a%20cat+here", "a cat here"),
        ("", ""),
    ],
)
def test_what_is_no_description_goes(caption: str, expected: str) -> None:
    assert prepare_captions([caption], clean=True) == [expected]


@needs_packages
def test_the_second_pass_takes_out_what_the_first_lays_bare() -> None:
    once = clean_caption("&lt;b&gt;a cat&lt;/b&gt;")
    assert once == "<b>a cat< b>"
    assert "<" not in prepare_captions(["&amp;lt;b&amp;gt;a cat"], clean=True)[0]


@needs_packages
@pytest.mark.parametrize("word", ["a", "a1", "a ", "<", "a.", "http://a.com/"])
def test_endless_captions_are_cleaned_as_far_as_they_are_read(word: str) -> None:
    (found,) = prepare_captions([f"a red cat {word * 1_000_000}"], clean=True)
    assert found.startswith("a red cat")
    assert len(found) < 10_000
