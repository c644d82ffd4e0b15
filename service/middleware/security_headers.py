"""Headers that limit what browsers do with an answer."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY: Final = b"content-security-policy"
# Pages replace the policy by their own. Pages of listed origins read answers by CORS, to which
# Cross-Origin-Resource-Policy does not apply.
HEADERS: Final = (
    (CONTENT_SECURITY_POLICY, b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeadersMiddleware:
    """Adds security headers to every answer. A header that the answer has already is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                present = {name.lower() for name, _ in message["headers"]}
                added = [header for header in HEADERS if header[0] not in present]
                secure = [HSTS] if scope["scheme"] in ("https", "wss") else []
                message = {**message, "headers": [*message["headers"], *added, *secure]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
