"""`python -m autopipe` is the command `autopipe`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
