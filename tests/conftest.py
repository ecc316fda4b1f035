"""For every test: no deadline on property tests, because the machine is shared and noisy.

They try a few examples each time; ``make test-long`` many (``--hypothesis-profile=long``). And one
umask: some users write files that their group may write, which safety.toml must not be.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("gateway", deadline=None, max_examples=20)
settings.register_profile("long", deadline=None, max_examples=1000)
settings.load_profile("gateway")
os.umask(0o022)
