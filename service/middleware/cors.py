"""Cross-origin requests from browsers (CORS), with problem+json for refused preflights."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from service.api.errors import BadRequest
from service.api.problems import respond


class ProblemCORSMiddleware(CORSMiddleware):
    """Starlette's CORS middleware with errors in the format of this service."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request with 204, or with 400 if it is refused."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
            return Response(status_code=204, headers=headers)
        text = bytes(response.body).decode()
        refused = respond(BadRequest(f"{text}; see the settings cors_origins and cors_headers"))
        refused.headers["Vary"] = response.headers["Vary"]
        return refused
