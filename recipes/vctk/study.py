#!/usr/bin/env python3
"""Train and judge the variants of a study, one after the other, and print their tables.

    python recipes/vctk/study.py codes joint

Groups and variants stand in study.yaml: each group names a configuration, options of
`speechvq-train` that all its variants take, and the options in which each differs. A variant that
has been judged, by `speechvq-analyze phonemes`, is not judged again, and one that was interrupted
goes on; one whose settings have changed since is refused. Needs the manifests of stage 1 of run.sh.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCORES = Path("phonemes/scores.json")
FIGURES = (  # heading, its score of the learned codes, how it is written
    ("accuracy", "accuracy", "{:.3f}"),
    ("PNMI", "pnmi", "{:.3f}"),
    ("perplexity", "perplexity", "{:.0f}"),
)


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for and not done yet; print a Markdown table of each group."""
    study = read()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(study)}")
    parser.add_argument("--exp-dir", type=Path, default=Path("exp/vctk"), metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="these (default: all)")
    parser.add_argument("--table", action="store_true", help="run nothing, print what is there")
    options = parser.parse_args(argv)
    if unknown := set(options.groups) - study.keys():
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join(study)}")
    for name in options.groups or study:
        group, out = study[name], options.exp_dir / "study" / name
        for variant, extra in group["variants"].items():
            if not options.table and (not options.only or variant in options.only):
                done = run(group, extra or {}, out / variant, options.exp_dir)
                if done:
                    return done
        print(f"\n{name}: {group['about']}\n\n{table(group, out)}", flush=True)
    return 0


def read() -> dict:
    """The groups of study.yaml."""
    import yaml

    return yaml.safe_load((HERE / "study.yaml").read_text(encoding="utf-8"))


def run(group: dict, extra: dict, folder: Path, exp_dir: Path) -> int:
    """Train and judge a variant; the exit code of what failed, or 0."""
    commands = [("train", *training_options(group, extra, folder, exp_dir), "--resume")]
    if not (folder / SCORES).exists():
        commands.append(("analyze", "phonemes", "--model", folder / "model", "--no-baselines"))
    for command, *words in commands:
        words = [str(word) for word in words]
        print(f"== speechvq-{command} {' '.join(words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"speechvq.cli.{command}", *words])
        if done.returncode:
            return done.returncode
    return 0


def training_options(group: dict, extra: dict, folder: Path, exp_dir: Path) -> list[str]:
    """What `speechvq-train` is told for a variant."""
    parts = ("train", "valid", "test")
    settings = {f"data.{part}": exp_dir / "data" / f"{part}.jsonl" for part in parts}
    settings |= (group.get("options") or {}) | extra
    options = {"config": HERE / "conf" / group["config"], "out": folder / "model"} | settings
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]


def table(group: dict, out: Path) -> str:
    """What has been judged so far, in Markdown."""
    lines = [["variant", *(f[0] for f in FIGURES)], ["---"] * (1 + len(FIGURES))]
    for variant, extra in group["variants"].items():
        said = " ".join(f"`--{key} {value}`" for key, value in (extra or {}).items())
        values = [value(out / variant / SCORES, *how) for _, *how in FIGURES]
        if any(v != "" for v in values):
            lines.append([f"{variant} {said}".strip(), *values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def value(scores: Path, score: str, form: str) -> str:
    """One figure of a variant; nothing where there is none."""
    if not scores.exists():
        return ""
    found = json.loads(scores.read_text(encoding="utf-8"))["scores"]["learned codes"].get(score)
    if isinstance(found, dict):  # with an interval
        found = found["value"]
    return "" if found is None else form.format(found)


if __name__ == "__main__":
    sys.exit(main())
