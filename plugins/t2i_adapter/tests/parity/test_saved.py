"""What a save writes into the configs is what diffusers writes, key by key."""

from __future__ import annotations

import pytest
from support.saved import same_keys

pytestmark = pytest.mark.parity

test_the_configs_have_the_same_keys = same_keys("t2i_adapter")
