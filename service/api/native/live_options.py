"""Options of a stream of images: those of the query, and their changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from model_zoo.contract import typed_json
from model_zoo.contract.errors import LineageError
from service.api.errors import BadRequest
from service.api.native.direct_route import parse_query
from service.api.native.query_errors import explain
from service.api.native.schemas import DetectQuery
from service.inference.query import QueryOptions

MAX_CHARACTERS: Final = 16_384
_FORM: Final = 'a JSON object such as {"score": 0.4}; images are binary messages'


@dataclass(frozen=True)
class LiveOptions:
    """Options of the images that follow."""

    query: DetectQuery
    """Options as the client named them."""
    resolved: QueryOptions
    """Options for the detection service."""

    @classmethod
    def of_query(cls, query_string: bytes) -> LiveOptions:
        """Return the options of a query.

        Raises:
            InvalidQuery: a parameter is unknown or malformed.
            LineageError: the list of classes is malformed.
        """
        try:
            query = parse_query(query_string)
        except RequestValidationError as error:
            raise explain(error.errors(), list(DetectQuery.model_fields)) from None
        return cls(query, query.options())

    def changed(self, text: str) -> LiveOptions:
        """Return the options with the changes of a text message.

        Raises:
            BadRequest: the text is too long, or no JSON object.
            InvalidQuery: an option is unknown or malformed.
            LineageError: the list of classes is malformed.
        """
        if len(text) > MAX_CHARACTERS:
            raise BadRequest(f"text message: expected at most {MAX_CHARACTERS:,} characters of JSON")
        try:
            changes = typed_json.parse(text)
        except LineageError:
            changes = None
        if not isinstance(changes, dict):
            raise BadRequest(f"text message: expected {_FORM}; got {typed_json.shorten(text)}")
        try:
            query = DetectQuery.model_validate(self.query.model_dump() | changes)
        except ValidationError as error:
            raise explain(error.errors(include_url=False), list(DetectQuery.model_fields)) from None
        return LiveOptions(query, query.options())
