"""GET /: the playground, static files without resources from other hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

FOLDER: Final = Path(__file__).resolve().parent / "static" / "playground"
SAMPLES: Final = FOLDER / "samples"
# The user's images and videos are shown from memory (blob:).
POLICY: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def playground() -> Response:
    """Return the playground."""
    return FileResponse(FOLDER / "index.html", headers=POLICY)


@router.get("/model-cards")
async def model_cards() -> Response:
    """Return the page of the models. It has no data: it reads /models with the user's key."""
    return FileResponse(FOLDER / "cards.html", headers=POLICY)


@router.get("/shadow")
async def shadow() -> Response:
    """Return the report on shadow versions. The page has no data: it reads /shadow/report with the user's key."""
    return FileResponse(FOLDER / "shadow.html", headers=POLICY)


@router.get("/playground/")
async def folder() -> Response:
    """Redirect from the folder of the files to the page."""
    return RedirectResponse("../")


@router.get("/playground/samples/index.json")
async def samples() -> Response:
    """List the sample images. Those of other models than the bundled one are in a folder, such as coco/cat.jpg."""
    return JSONResponse(sorted(path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.[jpw]*")))


class _Files(StaticFiles):
    """Files that a browser asks for again at each use: modules of two releases do not fit together."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


files = _Files(directory=FOLDER)
