"""GET /: a page to try the service with, from files beside the code; nothing is fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

FOLDER: Final = Path(__file__).resolve().parent / "static" / "playground"
SAMPLES: Final = FOLDER / "samples"
# Pictures are shown from memory (blob:); the rest is the page's own.
POLICY: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src-attr 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """Show the playground."""
    return FileResponse(FOLDER / "index.html", headers=POLICY)


@router.get("/playground/samples/index.json")
async def samples() -> Response:
    """List the pictures that are one click away."""
    return JSONResponse(sorted(path.name for path in SAMPLES.glob("*.[jpw]*")))


files = StaticFiles(directory=FOLDER)
