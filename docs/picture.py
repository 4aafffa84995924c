"""The pictures of README.md: the page of the recipe's experiment, and a sentence of it, printed.

bash recipes/vctk/run.sh && python docs/picture.py

Needs the extra ``test``, for playwright, and Chromium.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
HEIGHT = 1110  # to the end of the first sentence
COLOURS = 128


def main() -> None:
    """Open the page in a browser, and write docs/page.png and docs/picture.png."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--page", type=Path, default=Path("exp/vctk/report/index.html"))
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": HEIGHT})
        page.goto(options.page.absolute().as_uri())
        time = page.locator(".time").first
        time.click(position={"x": 0.4 * time.bounding_box()["width"], "y": 60})
        page.evaluate("scrollTo(0, 0)")
        write("page.png", page.screenshot())
        page.set_viewport_size({"width": 1040, "height": HEIGHT})
        page.emulate_media(media="print")
        write("picture.png", page.locator(".player").first.screenshot())
        browser.close()


def write(name: str, screenshot: bytes) -> None:
    """Write a screenshot in few colours."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    main()
