"""``tests.fixtures.schemas`` for Debian 12, whose jsonschema (4.10) has no ``referencing`` yet.

Copied over it in the machine; never imported elsewhere, where ``RefResolver`` is deprecated.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, RefResolver

import gateway

FOLDER = Path(gateway.__file__).parent / "schemas"


@functools.cache
def schemas() -> dict[str, dict[str, Any]]:
    """All of them, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def faults(name: str, message: object) -> list[str]:
    """What is wrong with ``message`` by the schema ``name``."""
    schema = schemas()[name]
    store = {one["$id"]: one for one in schemas().values()}
    validator = Draft202012Validator(schema, resolver=RefResolver(schema["$id"], schema, store))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(message)]


def check(message: dict[str, Any]) -> None:
    """Fail unless the message is what its own schema says."""
    name = str(message["schema"]).removeprefix("bess.").partition("/")[0]
    assert faults(name, message) == []
