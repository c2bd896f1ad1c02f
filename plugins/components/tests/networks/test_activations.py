from __future__ import annotations

import pytest
import torch

from autopipe.errors import ConfigError
from autopipe_components.networks.activations import get_activation


def test_swish_is_another_name_of_silu() -> None:
    x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(get_activation("Swish")(x), x * torch.sigmoid(x))
    assert get_activation("swish") is get_activation("silu")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'sillu'.*Did you mean 'silu'"):
        get_activation("sillu")
