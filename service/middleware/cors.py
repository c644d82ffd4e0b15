"""Cross-origin requests from browsers (CORS), with problem+json for refused preflights."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Message, Send

from service.api.errors import BadRequest
from service.api.problems import respond


class ProblemCORSMiddleware(CORSMiddleware):
    """Starlette's CORS middleware with errors in the format of this service."""

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Send a message. Pages that may read an answer may read its Server-Timing, too."""

        async def send_with_timing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if origin := headers.get("access-control-allow-origin"):
                    headers["Timing-Allow-Origin"] = origin
            await send(message)

        await super().send(message, send_with_timing, request_headers)

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
