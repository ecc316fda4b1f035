"""For every test: no deadline on property tests, because the machine is shared and noisy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")
