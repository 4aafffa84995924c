"""The page in headless Chromium, opened from disk."""

from pathlib import Path

import pytest
from browser import chromium
from experiment import INJECTED, SECONDS, model_of, report, whole_experiment

AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("an experiment")
    model_of(folder)
    whole_experiment(folder)
    report(folder)
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser, index):
    """Open the page; afterwards, nothing was fetched, and the console is empty."""
    requests, said, contexts = [], [], []

    def opened(width=1280, scheme="light", scripts=True):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(index.as_uri())
        # On a busy machine, a click may take longer than the sounds
        slow = "sound => { sound.defaultPlaybackRate = sound.playbackRate = 0.1 }"
        page.evaluate(f"document.querySelectorAll('audio').forEach({slow})")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert requests[0] == index.as_uri()
    assert {url.split(":")[0] for url in requests[1:]} <= {"data", "blob"}
    assert said == []


def state(page, number=0):
    """Position, whether it plays, and readiness of every sound of a player."""
    return page.evaluate(
        "n => [...document.querySelectorAll('.player')[n].querySelectorAll('audio')]"
        ".map(sound => [sound.currentTime, !sound.paused, sound.readyState])",
        number,
    )


def until(page, condition: str):
    page.wait_for_function(f"() => {{ const player = players[1]; return {condition}; }}")


def player(page):
    """The player of p225_001, with three versions; the injected one sorts before it."""
    return page.locator(".player").nth(1)


def test_it_plays_and_the_position_moves(open_page):
    page = open_page()
    button = player(page).get_by_role("button", name="Play p225_001")
    button.click()
    until(page, "player.sound.readyState >= 2 && player.sound.currentTime > 0.05")
    player(page).get_by_role("button", name="Pause p225_001").click()
    now, playing, ready = state(page, 1)[0]
    assert not playing and ready >= 2
    until(page, "Math.abs(player.time.style.getPropertyValue('--at') * player.seconds"
          " - player.sound.currentTime) < 0.01")  # fmt: skip
    assert f"{now:.2f} / 1.00 s" in player(page).inner_text()


def test_one_plays_at_a_time(open_page):
    page = open_page()
    for number in (1, 2):
        page.locator(".play").nth(number).click()
    until(page, "players[2].sound.currentTime > 0")
    assert [state(page, n)[0][1] for n in (1, 2)] == [False, True]


def test_a_click_seeks_and_tells_code_and_phone(open_page):
    page = open_page()
    box = player(page).locator(".time").bounding_box()
    player(page).locator(".time").click(position={"x": 0.745 * box["width"], "y": 30})
    assert state(page, 1)[0][0] == pytest.approx(0.745 * SECONDS, abs=0.005)
    assert player(page).locator(".reading").inner_text() == "code 2 · phone s"  # 18 of 25, mod 8
    slider = player(page).get_by_role("slider")
    assert "code 2" in slider.get_attribute("aria-valuetext")


def test_keys_seek_play_and_choose(open_page):
    page = open_page()
    slider = player(page).get_by_role("slider")
    slider.focus()
    for key, expected in (
        ("ArrowRight", 0.04), ("ArrowRight", 0.08), ("ArrowLeft", 0.04), ("PageUp", 0.54),
        ("End", SECONDS), ("PageDown", 0.5), ("Home", 0.0), ("ArrowLeft", 0.0),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert state(page, 1)[0][0] == pytest.approx(expected, abs=1e-3), key
    page.keyboard.press("3")
    assert page.get_by_role("radio", name="to p226").is_checked()
    page.keyboard.press("Space")
    until(page, "player.chosen == 2 && player.sound.currentTime > 0.05")
    page.keyboard.press("Space")
    assert not any(playing for _, playing, _ in state(page, 1))


def test_every_part_is_reached_by_tab(open_page):
    page = open_page()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.className || document.activeElement.type")
        )
    assert {"time", "play", "radio", "wide"} <= reached


def test_another_version_goes_on_at_the_same_position(open_page):
    page = open_page()
    player(page).get_by_role("button", name="Play p225_001").click()
    until(page, "player.sound.currentTime > 0.05")
    player(page).get_by_text("reconstruction", exact=True).first.click()
    until(page, "player.chosen === 1 && player.sound.currentTime > player.sounds[0].currentTime")
    (before, was, _), (after, goes_on, _), _ = state(page, 1)
    assert not was and goes_on and before < after < before + 0.3
    shown = player(page).locator(".picture[data-chosen] img").get_attribute("alt")
    assert shown == "Spectrogram, reconstruction"


def test_a_code_of_the_map_is_heard_where_it_occurs(open_page):
    page = open_page()
    page.get_by_role("button", name="2", exact=True).click()
    found = page.get_by_role("status")
    assert "aa 0.60; <b>bold</b> 0.40" in found.inner_text()
    assert "0.08 s of p225_001, place 1 of 4" in found.inner_text()
    page.get_by_role("button", name="2", exact=True).click()
    assert "0.40 s of p225_001, place 2 of 4" in found.inner_text()
    until(page, "player.sound.paused && player.sound.currentTime > 0.5")
    assert state(page, 1)[0][0] == pytest.approx(0.4 + 0.04 + 0.1, abs=0.08)
    assert page.locator(".lit").count() == 5  # the button, and four places


def test_ids_speakers_and_texts_are_text(open_page):
    page = open_page()
    assert page.locator(".player h3").first.inner_text() == INJECTED
    assert page.locator("script").count() == 1 and page.locator("[onerror]").count() == 0
    assert page.get_by_text("He said </script>.").is_visible()
    assert page.get_by_role("rowheader", name="<script>boom()</script>").count() == 1


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits(open_page, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options=AXE).response
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
    assert len(found["passes"]) > 10


def test_without_scripts_there_are_plain_players(open_page):
    page = open_page(scripts=False)
    assert page.locator("audio[controls]").first.is_visible()
    assert not page.locator(".play").first.is_visible()
    assert page.locator(".picture").count() == page.locator(".picture:visible").count()


def test_all_versions_are_printed(open_page):
    page = open_page(scheme="dark")
    page.emulate_media(media="print")
    pictures = player(page).locator(".picture")
    assert [pictures.nth(n).is_visible() for n in range(3)] == [True, True, True]
    assert not page.locator("nav").is_visible() and not page.locator(".play").first.is_visible()
