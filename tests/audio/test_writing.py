"""Audio files written, whole and piece by piece: they appear whole or not at all."""

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechvq import audio
from speechvq.audio import writing

RATE = 16000


def tone():
    return (0.5 * np.sin(0.2 * np.arange(6400))).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_writing_and_reading_16_bits_loses_nothing(tmp_path, suffix):
    path = tmp_path / "new" / "folder" / f"a{suffix}"
    levels = np.concatenate([np.arange(-32768, 32768, 7), [-32768, -1, 0, 1, 32767]])
    audio.write(path, levels / 32768, RATE)
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_array_equal(audio.read(path)[0] * 32768, levels)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_comment_is_beside_the_samples(tmp_path, suffix):
    plain, drawn = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    audio.write(plain, tone(), RATE)
    with audio.Writer(drawn, RATE, audio.DRAWN) as writer:
        writer.write(tone())
    np.testing.assert_array_equal(audio.read(drawn)[0], audio.read(plain)[0])
    assert audio.is_drawn(drawn) and not audio.is_drawn(plain)
    (tmp_path / "c.wav").write_bytes(b"no audio")
    assert not audio.is_drawn(tmp_path / "c.wav") and not audio.is_drawn(tmp_path / "none.wav")
    assert audio.recorded([drawn, plain]) == [plain] and audio.recorded([drawn]) == [drawn]


def test_writing_rounds_to_the_nearest_level(tmp_path):
    audio.write(tmp_path / "a.wav", np.array([0.6, -0.6, 1.4, -1.4]) / 32768, RATE)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0] * 32768, [1, -1, 1, -1])


def test_writing_clips(tmp_path):
    audio.write(tmp_path / "a.wav", np.array([-3.0, 3.0, 1.0]), RATE)
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], [-1, 1, 1], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "waveform", "reason"),
    [
        ("a.mp3", np.zeros(10), "cannot write .mp3; use .wav or .flac"),
        ("a", np.zeros(10), "use .wav or .flac"),
        ("a.wav", np.zeros((1, 10)), r"shape \(T,\)"),
        ("a.wav", np.zeros(0), "no samples"),
        ("a.wav", np.array([0.0, np.nan]), "NaN"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, waveform, reason):
    with pytest.raises(ValueError, match=reason):
        audio.write(tmp_path / name, waveform, RATE)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    audio.write(path, tone(), RATE)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="cannot be written: No space left") as error:
        audio.write(path, -tone(), RATE)
    assert error.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        audio.write(tmp_path / "file" / "a.wav", tone(), RATE)
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        audio.write(tmp_path / "a.wav", tone(), RATE)


def test_a_locked_folder_is_named_by_the_file_asked_for(tmp_path, monkeypatch):
    def locked(path, _):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(writing, "open", locked, raising=False)  # the superuser knows no locks
    for write in (lambda p: audio.write(p, tone(), RATE), lambda p: audio.write_bytes(p, b"x")):
        path = tmp_path / "a.wav"
        with pytest.raises(PermissionError, match="cannot be written: Permission denied") as error:
            write(path)
        assert error.value.filename == str(path)


def test_bytes_in_pieces(tmp_path):
    audio.write_bytes(tmp_path / "a", (piece for piece in (b"one, ", b"two")))
    assert (tmp_path / "a").read_bytes() == b"one, two"

    def failing():
        yield b"one"
        raise ValueError("no two")

    with pytest.raises(ValueError, match="no two"):
        audio.write_bytes(tmp_path / "b", failing())
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("seed", range(3))
def test_pieces_make_the_same_file_as_the_whole(tmp_path, suffix, seed):
    rng = np.random.default_rng(seed)
    waveform = rng.standard_normal(30000) / 2  # some beyond full scale
    cuts = np.sort(rng.integers(0, len(waveform) + 1, 20))
    audio.write(tmp_path / f"whole{suffix}", waveform, RATE)
    with audio.Writer(tmp_path / f"pieces{suffix}", RATE) as writer:
        for piece in [*np.split(waveform, cuts), waveform[:0]]:
            writer.write(piece)
    encoded = (tmp_path / f"pieces{suffix}").read_bytes()
    assert encoded == (tmp_path / f"whole{suffix}").read_bytes()
    levels = np.clip(np.rint(waveform * 32768), -32768, 32767)
    read, _ = soundfile.read(tmp_path / f"pieces{suffix}", dtype="int16")
    np.testing.assert_array_equal(read, levels)


def test_the_file_appears_when_it_is_closed(tmp_path):
    path = tmp_path / "new" / "a.flac"
    writer = audio.Writer(path, RATE)
    writer.write(tone())
    assert not path.exists()
    writer.close()
    assert list(path.parent.iterdir()) == [path]
    encoded = path.read_bytes()
    writer.close()
    writer.discard()
    assert path.read_bytes() == encoded
    with pytest.raises(ValueError, match=r"a\.flac: closed"):
        writer.write(tone())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(2, "source"), GeneratorExit()])
@pytest.mark.parametrize("written", [0, 1, 3])
def test_a_body_that_raises_leaves_no_trace(tmp_path, error, written):
    path = tmp_path / "a.wav"
    path.write_text("what was there before")
    with pytest.raises(type(error)) as raised, audio.Writer(path, RATE) as writer:
        for _ in range(written):
            writer.write(tone())
        raise error
    assert raised.value is error, "not taken for a failure to write"
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_discarding_by_hand(tmp_path):
    with audio.Writer(tmp_path / "a.wav", RATE) as writer:
        writer.write(tone())
        writer.discard()
        writer.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pieces", [[], [tone()[:0]]])
def test_nothing_written_is_no_file(tmp_path, pieces):
    writer = audio.Writer(tmp_path / "a.wav", RATE)
    for piece in pieces:
        writer.write(piece)
    with pytest.raises(ValueError, match=r"a\.wav: no samples to write"):
        writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_bad_piece_among_good_ones(tmp_path):
    with pytest.raises(ValueError, match="NaN"), audio.Writer(tmp_path / "a.wav", RATE) as writer:
        writer.write(tone())
        writer.write(np.full(10, np.nan))
    assert list(tmp_path.iterdir()) == []


def test_a_sample_rate_that_cannot_be_leaves_nothing(tmp_path):
    with pytest.raises((soundfile.LibsndfileError, ValueError)):
        audio.Writer(tmp_path / "a.wav", 0)
    assert list(tmp_path.iterdir()) == []


def test_any_thread_may_write_and_close(tmp_path):
    audio.write(tmp_path / "whole.wav", np.tile(tone(), 5), RATE)
    writer = audio.Writer(tmp_path / "a.wav", RATE)
    for act in [lambda: writer.write(tone())] * 5 + [writer.close]:
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_discarding_waits_for_another_thread_that_writes(tmp_path, monkeypatch):
    """As after Ctrl-C: an encoder must not be closed under the feet of a thread within it."""
    writer = audio.Writer(tmp_path / "a.flac", RATE)
    within, go_on, done = threading.Event(), threading.Event(), []

    def slow(_):
        within.set()
        assert go_on.wait(10)
        done.append("write")

    monkeypatch.setattr(writer._sound, "write", slow)
    writing_thread = threading.Thread(target=writer.write, args=[tone()])
    discarding = threading.Thread(target=lambda: (writer.discard(), done.append("discard")))
    writing_thread.start()
    assert within.wait(10)
    discarding.start()
    discarding.join(0.05)
    go_on.set()
    writing_thread.join(10)
    discarding.join(10)
    assert done == ["write", "discard"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_leaves_nothing(tmp_path, suffix):
    """Wherever it becomes full, the last byte included."""
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20000)
    audio.write(path, noise, RATE)
    size = path.stat().st_size
    path.unlink()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 10, size // 2, size - 3000, size - 100, size - 1):
        with pytest.raises(OSError, match="cannot be written") as error:
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
                with audio.Writer(path, RATE) as writer:
                    for piece in np.split(noise, 8):
                        writer.write(piece)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert error.value.filename == str(path)
        assert list(tmp_path.iterdir()) == []


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """So that a power cut leaves the earlier file or the new one; then its name is, too."""
    done, put = [], os.replace

    def sync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append("folder" if path.is_dir() else path.read_bytes())

    def replace(*arguments):
        done.append("name")
        put(*arguments)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    audio.write_bytes(tmp_path / "a", (piece for piece in (b"one, ", b"two")))
    assert done == [b"one, two", "name", "folder"]
    done.clear()
    audio.write(tmp_path / "a.wav", tone(), RATE)
    assert done == [(tmp_path / "a.wav").read_bytes(), "name", "folder"]


def test_leftovers_of_killed_processes(tmp_path):
    names = [".a.wav.12.345.tmp", ".last.safetensors.1.2.tmp"]
    others = [".hidden.tmp", "a.12.345.tmp", "a.wav", ".a.wav.12.tmp.345"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    audio.remove_leftovers(tmp_path, tmp_path / "missing")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_process_that_ends_removes_its_temporary_files(tmp_path):
    """Those, too, of which nothing knows but the list of them."""
    code = (
        "import sys; from pathlib import Path; from speechvq.audio import writing\n"
        "writing._NewFile(Path(sys.argv[1]))\nraise KeyboardInterrupt"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], stderr=subprocess.DEVNULL)
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(path := tmp_path / "a.wav")
    with pytest.raises(OSError, match="a device or a pipe"):
        audio.write(path, tone(), RATE)
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_names_may_be_as_long_as_the_system_allows_and_begin_alike(tmp_path):
    paths = [tmp_path / (name * 251 + ".wav") for name in ("a", "b")]
    paths += [tmp_path / ("a" * 250 + number + ".wav") for number in "12"]
    with audio.Writer(paths[2], RATE) as first, audio.Writer(paths[3], RATE) as second:
        first.write(tone())
        second.write(tone()[:100])
    for path in paths[:2]:
        audio.write(path, tone(), RATE)
    assert [soundfile.info(path).frames for path in paths] == [6400, 6400, 6400, 100]
