"""The demo under load: no request is lost, each gets its own speech, who has gone is forgotten."""

import gc
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

import speechvq
from speechvq import audio
from speechvq.sampling import SamplingOptions

RATE = 8000
WAIT = 300  # s, at most
SPEAKERS = ("p225", "p226")
MOST_GROWTH = 100e6
"""Bytes that the second fifty visitors may leave in memory."""
EMPTY = {"files": 0, "folders": 0, "voices": 0}


@pytest.fixture
def visit(demo, model, record, tmp_path):
    """Comes as visitor i, converts a recording of one's own, goes, and says what came of it.

    `right` is the conversion of the library, bit for bit; any other answer is given as text.
    """
    from gradio_client import Client, handle_file

    recordings = [record(f"{i}.wav", 0.5 + i % 5 / 10, seed=i) for i in range(10)]

    def visited(i: int, path: str | None = None) -> str:
        source, speaker = path or recordings[i % 10], SPEAKERS[i % 2]
        client = Client(
            demo.url,
            verbose=False,
            download_files=str(tmp_path / f"visitor{i}"),
            httpx_kwargs={"timeout": WAIT},
        )
        try:
            job = client.submit(handle_file(source), [speaker], i, 1, api_name="/convert")
            try:
                job.result(timeout=WAIT)
            except Exception as error:
                return str(error) or repr(error)
            results = [step[3] for step in job.outputs()]
            (found,) = {r["value"] for r in results if isinstance(r, dict) and r.get("value")}
            samples = soundfile.read(found, dtype="int16")[0]
        finally:
            client.close()
        options = SamplingOptions(seed=i)
        expected = speechvq.convert(model, audio.read(source, RATE)[0], speaker, options)
        return "right" if np.array_equal(samples, audio.to_pcm(expected)) else "another's"

    return visited


def at_once(visit, *arguments) -> list[str]:
    """What comes of visits at the same time; the arguments are columns, as of `map`."""
    with ThreadPoolExecutor(len(arguments[0])) as pool:
        return list(pool.map(visit, *arguments))


def left(demo) -> dict[str, int]:
    """What the server still holds of visitors, apart from what they sent."""
    return {
        "files": len([path for path in demo.root.glob("files/*/*/*") if "-p22" in path.name]),
        "folders": len(list(demo.root.glob("files/tmp*"))),
        "voices": len(list(demo.root.glob("voice-*"))),
    }


def becomes(look, expected) -> None:
    """Wait until something is as expected."""
    end = time.monotonic() + WAIT
    while (found := look()) != expected and time.monotonic() < end:
        time.sleep(0.1)
    assert found == expected


def memory() -> int:
    """Bytes that this process, and the server in it, has in memory."""
    gc.collect()
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def test_visitors_at_once_get_their_own_and_leave_nothing(visit, demo):
    assert at_once(visit, range(8)) == ["right"] * 8
    becomes(lambda: left(demo), EMPTY)


def test_a_full_queue_is_said(request, monkeypatch):
    pytest.importorskip("gradio", reason="the demo is not tested: Gradio is missing")
    from speechvq.demo import page

    monkeypatch.setattr(page, "QUEUE", 1)
    monkeypatch.setattr(page, "cores", lambda: 1)
    found = at_once(request.getfixturevalue("visit"), range(6))
    assert set(found) == {"right", "Queue is full! Please try again."}


@pytest.mark.slow
def test_fifty_visitors_at_once(visit, demo, tmp_path):
    """Twice; beside the second fifty, others send what is no speech, or too much."""
    assert at_once(visit, range(50)) == ["right"] * 50
    becomes(lambda: left(demo), EMPTY)
    before = memory()
    absurd = {
        "no.wav": (b"no speech", "no.wav: not audio that can be read"),
        "empty.wav": (b"", "empty.wav: an empty file"),
        "huge.wav": (bytes(11_000_000), "exceeds the maximum file size"),
        "header.wav": (b"RIFF\xff\xff\xff\xffWAVEfmt ", "header.wav: "),
    }
    for name, (content, _) in absurd.items():
        (tmp_path / name).write_bytes(content)
    audio.write(tmp_path / "long.wav", np.full(31 * RATE, 0.1, np.float32), RATE)
    said = [expected for _, expected in absurd.values()]
    said.append("long.wav: 0.5 minutes long; at most 0.5 are")
    paths = [str(tmp_path / name) for name in (*absurd, "long.wav")]
    found = at_once(visit, range(50 + len(paths)), [None] * 50 + paths)
    assert found[:50] == ["right"] * 50
    for answer, expected in zip(found[50:], said, strict=True):
        assert expected in answer and "\n" not in answer, answer
    becomes(lambda: left(demo), EMPTY)
    grown = memory() - before
    assert grown < MOST_GROWTH, grown


@pytest.mark.slow
def test_fifty_who_drop_leave_nothing(visit, demo, quick_steps, record):
    """When the first hears something, all go: their work ends, and the next one is served."""
    paths = [record(f"long{i}.wav", 29.0, seed=i) for i in range(2)]
    began, drawing = threading.Barrier(50), threading.Event()

    def drop(i: int) -> None:
        with httpx.Client(base_url=demo.url, timeout=WAIT) as browser:
            with open(paths[i % 2], "rb") as file:
                (sent,) = browser.post("gradio_api/upload", files={"files": file}).json()
            recording = {"path": sent, "meta": {"_type": "gradio.FileData"}}
            config = browser.get("config").json()
            name, more = [("enroll", []), ("convert", [["p225"], 0, 1])][i // 2 % 2]
            (place,) = (f["id"] for f in config["dependencies"] if f["api_name"] == name)
            body = {"data": [recording, *more], "fn_index": place, "session_hash": f"drop{i}"}
            assert browser.post("gradio_api/queue/join", json=body).status_code == 200
            query = {"session_hash": f"drop{i}"}
            with (
                browser.stream("GET", f"gradio_api/heartbeat/drop{i}"),
                browser.stream("GET", "gradio_api/queue/data", params=query) as events,
            ):
                began.wait(WAIT)
                for line in events.iter_lines():
                    if "drawing" in line:
                        drawing.set()
                    if drawing.is_set():
                        return

    at_once(drop, range(50))
    assert drawing.is_set()
    becomes(lambda: left(demo), EMPTY)
    assert visit(1) == "right"
    drawn = demo.drawn
    becomes(lambda: [t for t in threading.enumerate() if t.name == "speechvq-demo work"], [])
    time.sleep(2)
    assert demo.drawn == drawn < 290, "as many as of one conversion that is not stopped"
    assert left(demo) == EMPTY
