"""The demo in a browser: a file is converted and plays, and no request leaves the machine."""

import re
from urllib.parse import urlparse

import pytest

WAIT = 60_000  # ms, at most
PLAYS = "Array.from(document.querySelectorAll('audio')).some(a => !a.paused && a.currentTime > 0.1)"
DONE = "document.body.innerText.includes('done')"
OF_GRADIO = ("Method not implemented", "HLS non-fatal error")  # said on its own account


PHONE, DESKTOP = (360, "dark"), (1280, "light")


@pytest.fixture
def page(browser, demo, request):
    """The page; in the end its requests and its console are looked at."""
    width, scheme = getattr(request, "param", PHONE)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(WAIT)
    asked, said = [], []
    page.on("request", lambda asking: asked.append(urlparse(asking.url)))
    page.on("console", lambda line: said.append(f"{line.type}: {line.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("response", lambda r: r.status >= 400 and said.append(f"error: {r.status} {r.url}"))
    page.goto(demo.url)
    page.get_by_role("button", name="Convert").wait_for()
    yield page
    assert {url.hostname for url in asked if url.scheme not in ("data", "blob")} == {"127.0.0.1"}
    assert [line for line in said if not any(text in line for text in OF_GRADIO)] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("page", [PHONE, DESKTOP], ids=["phone", "desktop"], indirect=True)
def test_a_file_is_converted_and_plays(page, demo, record):
    page.locator("input[type=file]").first.set_input_files(record("stranger.wav", 3))
    page.get_by_text("0:03").first.wait_for()
    page.get_by_role("button", name="Convert").click()
    page.wait_for_function(PLAYS)  # by itself
    page.wait_for_function(DONE)
    pictures = page.locator("figure img")
    pictures.last.wait_for()
    assert [pictures.nth(i).get_attribute("alt") for i in range(pictures.count())] == [
        "Spectrogram of stranger.wav, and its codes as colours below",
        "Spectrogram of p225, and its codes as colours below",
    ]
    assert page.evaluate(
        "Array.from(document.querySelectorAll('figure img')).every(i => i.naturalWidth == 780)"
    )
    with page.expect_download() as download:
        page.get_by_label("Download").last.click()
    assert download.value.suggested_filename == "stranger-p225.wav"


def test_speech_is_drawn_anew_and_recorded(page, demo, record):
    page.get_by_role("button", name="Convert").click()
    page.get_by_text("no speech yet: record some, or drop a file").wait_for()
    page.get_by_role("tab", name="Draw").click()
    page.get_by_role("button", name="Draw").click()
    page.wait_for_function(PLAYS)
    page.wait_for_function(DONE)
    assert page.locator("figure img").count() == 1
    page.get_by_role("tab", name="Convert").click()
    page.get_by_label("Record audio").first.click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    with page.expect_response(re.compile("/upload")):
        page.get_by_role("button", name="Stop", exact=True).first.click()
    page.wait_for_timeout(1000)  # until the page has taken the answer in
    page.get_by_role("button", name="Convert").click()
    page.get_by_alt_text(re.compile("Spectrogram of audio.wav")).wait_for()
