"""For every test: no deadline on property tests, because the machine is shared and noisy.

And one umask: some users write files that their group may write, which safety.toml must not be.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")
os.umask(0o022)
