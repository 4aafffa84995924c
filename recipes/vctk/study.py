#!/usr/bin/env python3
"""Train and judge the variants of a study, one after the other, and print their tables.

    python recipes/vctk/study.py codes decoder

Groups and variants stand in study.yaml: each group names a configuration, options of
`speechvq-train` that all its variants take, what is asked of them, and the options in which each
differs. A variant that has been judged is not judged again, and one that was interrupted goes on;
one whose settings have changed since is refused.
Needs the manifests of stage 1 of run.sh and, for conversions, pip install ".[judges]".
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FIGURES = {  # question: heading, where in its scores, how it is written
    "phonemes": (
        ("accuracy", ("scores", "learned codes", "accuracy"), "{:.3f}"),
        ("PNMI", ("scores", "learned codes", "pnmi"), "{:.3f}"),
        ("perplexity", ("scores", "learned codes", "perplexity"), "{:.0f}"),
    ),
    "conversion": (
        ("bits/sample", ("bits_per_sample",), "{:.3f}"),
        ("WER", ("WER", "conversion", "WER"), "{:.0%}"),
        ("PER", ("PER", "conversion", "PER"), "{:.0%}"),
        ("speaker-id accuracy", ("speaker", "conversion", "identification accuracy"), "{:.0%}"),
        ("voiced share", ("pitch", "conversion", "voiced share"), "{:.0%}"),
        ("DNSMOS", ("DNSMOS", "conversion", "overall"), "{:.2f}"),
    ),
}


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
    asked = {
        "phonemes": ("analyze", "phonemes", "--model", folder / "model", "--no-baselines"),
        "conversion": ("analyze", "conversion", "--model", folder / "model"),
    }
    for question in group["questions"]:
        if not (folder / question / "scores.json").exists():
            commands.append(asked[question])
    for command, *words in commands:
        words = [str(word) for word in words]
        print(f"== speechvq-{command} {' '.join(words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"speechvq.cli.{command}", *words])
        if done.returncode:
            return done.returncode
    return 0


def training_options(group: dict, extra: dict, folder: Path, exp_dir: Path) -> list[str]:
    """What `speechvq-train` is told for a variant; {exp} in a setting is `exp_dir`."""
    parts = ("train", "valid", "test")
    settings = {f"data.{part}": exp_dir / "data" / f"{part}.jsonl" for part in parts}
    settings |= (group.get("options") or {}) | extra
    options = {"config": HERE / "conf" / group["config"], "out": folder / "model"} | settings
    told = {key: str(value).format(exp=exp_dir) for key, value in options.items()}
    return [word for key, value in told.items() for word in (f"--{key}", value)]


def table(group: dict, out: Path) -> str:
    """What has been judged so far, in Markdown."""
    figures = [(q, *figure) for q in group["questions"] for figure in FIGURES[q]]
    lines = [["variant", *(f[1] for f in figures)], ["---"] * (1 + len(figures))]
    for variant, extra in group["variants"].items():
        said = " ".join(f"`--{key} {value}`" for key, value in (extra or {}).items())
        values = [value(out / variant / q / "scores.json", *how) for q, _, *how in figures]
        if any(v != "" for v in values):
            lines.append([f"{variant} {said}".strip(), *values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def value(scores: Path, path: tuple[str, ...], form: str) -> str:
    """One figure of a variant; nothing where there is none."""
    if not scores.exists():
        return ""
    found = json.loads(scores.read_text(encoding="utf-8"))
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, dict):
        found = found.get("value")
    return "" if found is None else form.format(found)


if __name__ == "__main__":
    sys.exit(main())
