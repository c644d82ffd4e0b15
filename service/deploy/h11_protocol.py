"""uvicorn's HTTP/1.1 protocol, with problem+json for malformed requests."""

from __future__ import annotations

from contextlib import suppress

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.errors import BadRequest
from service.api.problems import MEDIA_TYPE, problem


class ProblemProtocol(H11Protocol):
    """Answers malformed HTTP the way the application answers a bad request."""

    def send_400_response(self, msg: str) -> None:
        """Send a problem, unless a response has already started, and close the connection."""
        body = problem(BadRequest(msg)).to_json().encode()
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"}
        head = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        with suppress(h11.LocalProtocolError):
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
