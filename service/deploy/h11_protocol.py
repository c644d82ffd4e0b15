"""HTTP/1.1 as uvicorn speaks it, with problem+json for what is not HTTP at all."""

from __future__ import annotations

import json
from contextlib import suppress

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.problems import MEDIA_TYPE, BadRequest, problem


class ProblemProtocol(H11Protocol):
    """Answers a malformed request as the application answers a bad one."""

    def send_400_response(self, msg: str) -> None:
        """Tell the client and close; there is nobody to tell when an answer is already under way."""
        body = json.dumps(problem(BadRequest(msg))).encode()
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"}
        head = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
        with suppress(h11.LocalProtocolError):
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
