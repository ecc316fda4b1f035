"""matplotlib without a screen; only the report's environment has it."""

from __future__ import annotations

import importlib
from typing import Any


def load() -> Any:  # noqa: ANN401 - its types are absent where it is not installed
    """matplotlib.pyplot.

    Raises:
        ModuleNotFoundError: it is not installed; ``make report`` and ``make soak`` do that.
    """
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")
