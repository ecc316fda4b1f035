"""JSON from strangers: what two parsers could read differently is refused.

Duplicate keys, NaN and Infinity (no JSON, but Python takes them), a byte order mark, lone
surrogates and numbers of more than 18 digits are errors. Fractions are kept as floats so that the
caller can say which field must be an integer.
"""

from __future__ import annotations

import json

_DIGITS = 18  # fits 64 bits, and keeps int() cheap whatever is sent


class StrictJsonError(ValueError):
    """The text is not JSON as we take it; says why."""


def parse_object(text: bytes) -> dict[str, object]:
    """Parse one JSON object.

    Args:
        text: UTF-8, already bounded in size.

    Raises:
        StrictJsonError: it is anything else.
    """
    try:
        found: object = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        message = "is not UTF-8"
        raise StrictJsonError(message) from None
    except StrictJsonError:
        raise
    except ValueError as error:
        message = f"is not JSON: {error}"
        raise StrictJsonError(message) from None
    except RecursionError:
        message = "is nested too deeply"
        raise StrictJsonError(message) from None
    if not isinstance(found, dict):
        message = "must be an object"
        raise StrictJsonError(message)
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "has a key twice"
        raise StrictJsonError(message)
    return found


def _constant(text: str) -> object:
    message = f"is not JSON: {text} is no number"
    raise StrictJsonError(message)


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > _DIGITS:
        message = f"has a number of more than {_DIGITS} digits"
        raise StrictJsonError(message)
    return int(text)
