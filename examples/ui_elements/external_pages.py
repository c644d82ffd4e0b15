"""Make a test set of pages that were not generated: `python -m examples.ui_elements.external_pages --output DIR`.

The pages are templates, demos and documents that npm packages ship, and this project's playground. The script that
reads the boxes of generated pages reads theirs too. No such page is in the training set.
"""

from __future__ import annotations

import argparse
import functools
import mimetypes
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Route

from examples.ui_elements.browser import MODULES, Camera, Screen, chromium
from examples.ui_elements.coco import LabeledImage, save_image, write_dataset
from examples.ui_elements.errors import run_main
from service.app import create_app
from service.settings import Settings

ORIGIN = "http://pages.invalid/"
PLAYGROUND = Path(__file__).parents[2] / "service" / "web" / "static" / "playground"
SCREENS = (
    (Screen(768, 1024), 0),
    (Screen(768, 1024), 900),
    (Screen(800, 1280), 300),
    (Screen(844, 390), 0),
    (Screen(844, 390), 1300),
)
PAGES = {
    "startbootstrap-sb-admin-2": ("index", "login", "register", "buttons", "tables"),
    "gentelella/dist": (
        "production/form",
        "production/form_advanced",
        "production/general_elements",
        "production/inbox",
        "production/e_commerce",
        "production/pricing_tables",
        "production/file_manager",
        "production/landing",
        "production/settings",
    ),
    "tabler-ui/dist": (
        "index",
        "form-elements",
        "gallery",
        "store",
        "profile",
        "pricing-cards",
        "users-list",
        "docs/index",
    ),
    "sneat-bootstrap-html-admin-template-free": (
        "html/forms-basic-inputs",
        "html/pages-account-settings-account",
        "html/pages-account-settings-notifications",
        "html/ui-tabs-pills",
        "html/auth-login-basic",
    ),
    "soft-ui-dashboard": ("pages/sign-up", "pages/billing"),
    "material-dashboard": ("pages/notifications", "pages/profile"),
    "startbootstrap-creative/dist": ("index",),
    "startbootstrap-resume/dist": ("index",),
    "startbootstrap-simple-sidebar/dist": ("index",),
    "startbootstrap-sb-admin/dist": ("layout-static",),
    "swagger-ui-dist": ("index",),
    "playground": ("index",),
}


def answer(route: Route, root: Path) -> None:
    """Answer a request of a page from its folder or as this project's server would. Other requests fail."""
    path = route.request.url.removeprefix(ORIGIN).split("?")[0].split("#")[0]
    file = root / path.removeprefix("playground/")  # the playground's own prefix
    if path.endswith("swagger.json"):
        route.fulfill(json=create_app(Settings()).openapi())
    elif root == PLAYGROUND and path == "models":
        route.fulfill(json={"models": []})
    elif not route.request.url.startswith(ORIGIN) or not file.is_file():
        route.abort()
    else:
        route.fulfill(path=file, content_type=mimetypes.guess_type(file.name)[0] or "application/octet-stream")


def capture_pages(output: Path) -> Iterator[LabeledImage]:
    """Save screenshots of all pages, each in several windows."""
    with chromium() as browser:
        for package, names in PAGES.items():
            root = PLAYGROUND if package == "playground" else MODULES / package
            camera = Camera(browser)
            camera.page.route("**/*", functools.partial(answer, root=root))
            for name in names:
                yield from _capture_page(camera, output, package, name)
            camera.close()


def _capture_page(camera: Camera, output: Path, package: str, name: str) -> Iterator[LabeledImage]:
    """Save screenshots of a page in every window. Views that a short page has shown before are skipped."""
    camera.frame(SCREENS[0][0])
    camera.visit(f"{ORIGIN}{name}.html")
    seen = set()
    for number, (screen, scroll) in enumerate(SCREENS):
        camera.frame(screen)
        camera.scroll(scroll)
        shot = camera.capture(screen)
        view = shot.image.tobytes()
        if shot.labels and view not in seen:
            seen.add(view)
            facts = {
                "kit": package.split("/")[0],
                "page": name,
                "language": "en",
                "window": f"{screen.width}x{screen.height}",
            }
            yield save_image(output, f"test-{package}-{name}-{number}".replace("/", "-"), shot, facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and make the test set."""
    parser = argparse.ArgumentParser(description="Render pages that were not generated and label their elements.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the dataset, which has only a test split")
    options = parser.parse_args(arguments)
    counted = {"pages": sum(map(len, PAGES.values()))}
    return run_main(lambda: write_dataset(options.output, list(capture_pages(options.output)), counted))


if __name__ == "__main__":
    sys.exit(main())
