"""The demo through its API: the same samples as the library, and nothing left of who has gone."""

import ipaddress
import json
import re
import socket
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

import speechvq
from speechvq import audio, sampling
from speechvq.model_folder import codebook_of
from speechvq.prior_folder import load_prior
from speechvq.sampling import SamplingOptions
from speechvq.sampling.generation import sample_codes

RATE = 8000
WAIT = 60  # s, at most, for what comes at once


@pytest.fixture
def client(demo, tmp_path):
    """Makes clients of the demo, each a visitor."""
    from gradio_client import Client

    made = []

    def make():
        made.append(Client(demo.url, verbose=False, download_files=str(tmp_path / "downloads")))
        return made[-1]

    yield make
    for one in made:
        one.close()


def sent(path):
    from gradio_client import handle_file

    return handle_file(str(path))


def files_of(outputs) -> list[str]:
    """Paths of the files in the outputs of all steps of a job, in the order in which they came."""
    found = {}
    for step in outputs:
        for output in step[3::2]:
            path = output.get("value") if isinstance(output, dict) else output
            if isinstance(path, str) and path.endswith(".wav"):
                found[Path(path).name] = path
    return list(found.values())


def test_who_is_chosen_at_first():
    from speechvq.demo.page import first_speaker

    assert first_speaker(["1040", "p225", "p226"]) == "p225"
    assert first_speaker(["1040", "19"]) == "1040"


def pcm(path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def test_conversions_are_those_of_the_library(client, model, record):
    source = record("a.wav", 2.3)
    job = client().submit(sent(source), ["p226", "p225"], 3, 0.9, api_name="/convert")
    assert job.result() is not None
    files = files_of(job.outputs())
    assert [Path(path).name for path in files] == ["a-p226.wav", "a-p225.wav"]
    waveform, _ = audio.read(source, RATE)
    for path, speaker in zip(files, ("p226", "p225"), strict=True):
        options = SamplingOptions(seed=3, top_p=0.9)
        expected = speechvq.convert(model, waveform, speaker, options)
        assert np.array_equal(pcm(path), audio.to_pcm(expected))
        assert audio.is_drawn(path)
    pictures = [output[2] for output in job.outputs() if "<img alt=" in str(output[2])]
    assert "a.wav" in str(pictures[0]) and "2 times K = 8" in str(pictures[0])


def test_new_speech_is_that_of_the_library(client, model, folder):
    job = client().submit("p226", 2, 5, api_name="/generate")
    job.result()
    (path,) = files_of(job.outputs())
    assert Path(path).name == "sample-p226-5.wav"
    prior = load_prior(folder, codebook_of(model))
    codes = sample_codes(prior, 200, ["p226"], SamplingOptions(seed=5))[0]
    expected = sampling.sample(model, codes, "p226", SamplingOptions(seed=5))
    assert np.array_equal(pcm(path), audio.to_pcm(expected))


def test_a_voice_is_its_visitors_alone(client, demo, quick_steps, record):
    visitor, other = client(), client()
    source = sent(record("a.wav", 1))
    steps = visitor.submit(sent(record("own.wav", 14)), api_name="/enroll")
    steps.result()
    assert "learned" in str(steps.outputs()[-1])
    job = visitor.submit(source, ["me", "p225"], 0, 1, api_name="/convert")
    job.result()
    assert [Path(path).name for path in files_of(job.outputs())] == ["a-me.wav", "a-p225.wav"]
    with pytest.raises(Exception, match="not in the list of choices|enroll it"):
        other.predict(source, ["me"], 0, 1, api_name="/convert")
    assert len(list(demo.root.glob("voice-*"))) == 1
    drawn = list(demo.root.glob("files/*/*/a-me.wav"))
    assert len(drawn) == 1
    visitor.close()
    gone = threading.Event()
    for _ in range(WAIT * 10):
        if not [*demo.root.glob("voice-*"), *demo.root.glob("files/*/*/a-me.wav")]:
            break
        gone.wait(0.1)
    else:
        pytest.fail("what a visitor had is still there after the visitor has gone")


def test_mistakes_are_one_line(client, record, tmp_path, capfd):
    visitor = client()
    text = tmp_path / "notes.txt"
    text.write_text("no speech")
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    good = sent(record("good.wav", 1))
    for recording, speakers, expected in (
        (None, ["p225"], "no speech yet: record some, or drop a file"),
        (sent(text), ["p225"], "notes.txt: not audio that can be read"),
        (sent(empty), ["p225"], "empty.wav: an empty file"),
        (sent(record("silent.wav", 1, loudness=0)), ["p225"], "silent.wav: silent from"),
        (sent(record("long.wav", 31)), ["p225"], "long.wav: 0.5 minutes long; at most 0.5 are"),
        (good, [], "speakers: pick one to 4, not 0"),
        (good, ["p225", "p226", "p225", "p226", "p225"], "speakers: pick one to 4, not 5"),
    ):
        with pytest.raises(Exception, match=re.escape(expected)) as error:
            visitor.predict(recording, speakers, 0, 1, api_name="/convert")
        assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)
    with pytest.raises(Exception, match=r"own.wav: .*at least 10 s|at least 10 s is needed"):
        visitor.predict(sent(record("own.wav", 3)), api_name="/enroll")
    assert "Traceback" not in capfd.readouterr().err
    # What the page cannot send
    with pytest.raises(Exception, match="greater than maximum value 20"):
        visitor.predict("p225", 10_000, 0, api_name="/generate")
    with pytest.raises(Exception, match="nobody"):
        visitor.predict(good, ["nobody"], 0, 1, api_name="/convert")
    assert visitor.predict(good, ["p225"], 0, 1, api_name="/convert")


def test_large_files_are_refused(demo):
    content = bytes(11_000_000)  # 0.5 minutes: 10 MB
    answer = httpx.post(f"{demo.url}gradio_api/upload", files={"files": ("a.wav", content)})
    assert answer.status_code == 413
    assert not list(demo.root.rglob("a.wav"))


LONG = 29.0
CHUNKS = LONG * 10
"""At least so many are drawn of a conversion that is not stopped."""


def test_what_is_stopped_draws_no_more(client, demo, record):
    visitor = client()
    job = visitor.submit(sent(record("a.wav", LONG)), ["p225", "p226"], 0, 1, api_name="/convert")
    for step in job:
        if "drawing" in str(step[0]):
            break
    job.cancel()
    assert demo.ended.wait(WAIT)
    assert 0 < demo.drawn < CHUNKS
    assert not list(demo.root.rglob("a-p22*.wav"))


def join(demo, session: str, path: str, client: httpx.Client) -> None:
    """Ask for a conversion as a browser does, and close the connection at its first sound."""
    with open(path, "rb") as file:
        (uploaded,) = client.post("gradio_api/upload", files={"files": file}).json()
    config = client.get("config").json()
    (place,) = (f["id"] for f in config["dependencies"] if f["api_name"] == "convert")
    recording = {"path": uploaded, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [recording, ["p225", "p226"], 0, 1], "fn_index": place}
    client.post("gradio_api/queue/join", json=body | {"session_hash": session})
    query = {"session_hash": session}
    with client.stream("GET", "gradio_api/queue/data", params=query, timeout=WAIT) as events:
        for line in events.iter_lines():
            if line and "drawing" in json.dumps(json.loads(line.removeprefix("data: "))):
                return


def test_who_is_gone_frees_the_machine(demo, record):
    with httpx.Client(base_url=demo.url) as browser:
        join(demo, "gone", record("a.wav", LONG), browser)
    assert demo.ended.wait(WAIT)
    assert 0 < demo.drawn < CHUNKS
    assert not list(demo.root.rglob("a-p22*.wav"))


def test_the_server_talks_to_nobody(folder, monkeypatch, request):
    called = []
    connect = socket.socket.connect

    def watched(self, address):
        called.append(address)
        return connect(self, address)

    resolve = socket.getaddrinfo

    def resolved(host, *arguments, **options):
        called.append((host, 0))
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    demo = request.getfixturevalue("demo")
    page = httpx.get(demo.url).text
    assert called
    hosts = {address[0] for address in called if isinstance(address, tuple)}
    assert hosts <= {"127.0.0.1", "localhost", "::1", None}, hosts
    assert not re.search(r"<(script|link)[^>]+(src|href)=.https?://(?!127\.0\.0\.1)", page)
    assert ipaddress.ip_address(httpx.URL(demo.url).host).is_loopback
