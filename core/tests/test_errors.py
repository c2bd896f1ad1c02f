"""A name that is not known is an error with the nearest one."""

from __future__ import annotations

import pytest

from autopipe.errors import ArgumentError, ArgumentTypeError, check_names


def test_what_is_given_by_component_names_components() -> None:
    check_names({"unet": 0, "": "cpu"}, ("", "unet", "vae"), "P has no")
    check_names("auto", ("unet",), "P has no")
    with pytest.raises(ArgumentError, match=r"P has no 'unett'\. Did you mean 'unet'"):
        check_names({"unett": 0}, ("unet", "vae"), "P has no")
    with pytest.raises(ArgumentError, match=r"Known: unet, vae\."):
        check_names({"controlnet": 0}, ("", "unet", "vae"), "P has no")


def test_an_unknown_keyword_gets_the_nearest_name() -> None:
    known = ("unet", "safety_checker", "torch_dtype")
    with pytest.raises(ArgumentTypeError, match="Did you mean 'safety_checker'"):
        check_names({"safty_checker": None}, known, "P has no keyword")
    with pytest.raises(ArgumentTypeError, match="Did you mean 'torch_dtype'"):
        check_names({"torch_dytpe": None}, known, "P has no keyword")
    check_names({"unet": None}, known, "P has no keyword")
