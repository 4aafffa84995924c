"""Coverage-guided fuzzing of a parser: python tests/fuzz/run.py codes --runs 1000000

It ends with an error where an input broke a promise (targets.py), and writes the input to
``crash-…``, ``timeout-…`` or ``oom-…`` in the working folder; mended, it goes to ``found/TARGET/``.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["speechvq", "yaml"]):
    from fuzz import targets

MEMORY_DISK = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)
"""Where the files are that parsers read."""
SECONDS = 20
"""Longest that an input may take."""
MEMORY = 2 << 30
"""Bytes that an input may take, beside what the modules take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--longest", type=int, default=4096, help="bytes of an input")
    options = parser.parse_args()
    target = targets.TARGETS[options.target]
    with tempfile.TemporaryDirectory(prefix="speechvq-fuzz-", dir=MEMORY_DISK) as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        with atheris.instrument_imports(include=["speechvq", "yaml"]):
            for i, seed in enumerate(targets.seeds(options.target)):
                (folder / "seeds" / f"{i}").write_bytes(seed)
                targets.kept(target, seed, folder)  # imports what it needs
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        arguments = [
            sys.argv[0],
            f"-runs={options.runs}",
            f"-max_len={options.longest}",
            f"-timeout={SECONDS}",
            "-rss_limit_mb=0",
            "-len_control=20",
            "-print_final_stats=1",
            str(folder / "seeds"),
        ]
        atheris.Setup(arguments, lambda content: targets.kept(target, content, folder))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
