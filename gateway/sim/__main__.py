"""``python -m gateway.sim``: the simulator without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from gateway.errors import GatewayError
from gateway.sim.command import add_arguments, run


def main() -> int:
    """Run the simulator; exit code as in ``bess-gateway sim``."""
    parser = argparse.ArgumentParser(prog="python -m gateway.sim")
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except GatewayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
