"""The picture of docs/demo.md: the demo in headless Chromium.

pip install playwright && python docs/demo_picture.py
"""

import io
import shutil
from pathlib import Path

from speechvq.demo.serving import served
from speechvq.model_folder import PRETRAINED

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "recipes/vctk/standin/wav48_silence_trimmed/p225/p225_037_mic1.flac"
WIDTH, HEIGHT = 820, 900  # pixels
WAIT = 120_000  # ms, at most


def main() -> None:
    """Convert a recording in the browser, and write docs/demo.png."""
    import PIL.Image
    from playwright.sync_api import sync_playwright

    with served(PRETRAINED) as url, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(WAIT)
        page.goto(url)
        page.get_by_role("button", name="Convert").wait_for()
        page.locator("input[type=file]").first.set_input_files(RECORDING)
        page.get_by_text("0:04").first.wait_for()
        page.get_by_role("button", name="Convert").click()
        page.wait_for_function("document.body.innerText.includes('done')")
        page.locator("figure img").nth(1).wait_for()
        page.wait_for_timeout(3000)  # the waveforms are drawn
        picture = PIL.Image.open(io.BytesIO(page.screenshot(full_page=True)))
        browser.close()
    picture.convert("RGB").quantize(64).save(ROOT / "docs/demo.png", optimize=True)


if __name__ == "__main__":
    main()
