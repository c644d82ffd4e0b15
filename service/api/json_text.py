"""JSON of answers."""

from __future__ import annotations

import json

from pydantic_core import PydanticSerializationError, to_json


def write_json(document: object) -> bytes:
    """Return a document as JSON. Texts that UTF-8 cannot hold, such as lone surrogates in a card, are escaped."""
    try:
        return to_json(document)
    except PydanticSerializationError:
        return json.dumps(document).encode()
