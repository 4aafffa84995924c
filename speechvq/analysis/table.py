"""Tables as text: phoneme scores, and the phones of every code."""

from collections.abc import Mapping, Sequence

import numpy as np

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.boundaries import BoundaryScores
from speechvq.analysis.phonemes import PhonemeScores, joint_counts


def score_table(rows: Mapping[str, PhonemeScores]) -> str:
    """Align the scores of several kinds of codes, one row each.

    Parameters
    ----------
    rows
        Scores by the name of the codes.
    """
    cells = [
        [
            "",
            "accuracy",
            "(95 % interval)",
            "chance",
            "class accuracy",
            "phone purity",
            "cluster purity",
            "PNMI",
        ]
        + ["V-measure", "perplexity", "codes used"]
    ]
    for name, scores in rows.items():
        interval = scores.accuracy_interval
        cells.append(
            [
                name,
                f"{scores.accuracy:.3f}",
                f"({interval[0]:.3f} to {interval[1]:.3f})" if interval else "",
                f"{scores.chance:.3f}",
                known("{:.3f}", scores.class_accuracy),
                known("{:.3f}", scores.phone_purity),
                known("{:.3f}", scores.cluster_purity),
                known("{:.3f}", scores.pnmi),
                known("{:.3f}", scores.v_measure),
                known("{:.1f}", scores.perplexity),
                known("{} of {}", scores.codes_used, scores.codebook_size),
            ]
        )
    return aligned(cells)


def gain_table(rows: Mapping[str, Estimate]) -> str:
    """Align what the accuracy of the learned codes is above that of each baseline."""
    cells = [["accuracy of the learned codes above", "", "(95 % interval)"]]
    for name, gain in rows.items():
        interval = "" if np.isnan(gain.low) else f"({gain.low:+.3f} to {gain.high:+.3f})"
        cells.append([name, f"{gain.value:+.3f}", interval])
    return aligned(cells)


def boundary_table(rows: Mapping[str, BoundaryScores]) -> str:
    """Align the agreement of boundaries with those of phones, one row a kind of boundaries."""
    cells = [["boundaries, 20 ms", "precision", "recall", "F", "over-segmentation"]]
    cells[0] += ["R-value", "(95 % interval)", "found", "true"]
    for name, found in rows.items():
        shares = (found.precision, found.recall, found.f, found.over_segmentation, found.r_value)
        R = found.r_value
        cells.append(
            [
                name,
                *("-" if np.isnan(share.value) else f"{share.value:.3f}" for share in shares),
                "" if np.isnan(R.low) else f"({R.low:.3f} to {R.high:.3f})",
                f"{found.found:,}",
                f"{found.true:,}",
            ]
        )
    return aligned(cells)


def known(form: str, value: float | None, *more: float) -> str:
    """A cell of a table; a dash for a value that there is not."""
    return "-" if value is None else form.format(value, *more)


def code_files(codebooks: int) -> dict[str, str]:
    """Files of the phones of each codebook's codes: the stem, and what follows "each code"."""
    if codebooks == 1:
        return {"codes": ""}
    return {f"codes-{g}": f" of codebook {g}" for g in range(1, codebooks + 1)}


def aligned(cells: Sequence[Sequence[str]], width: int = 0) -> str:
    """Align rows of text in columns: the first to the left, at least `width` wide."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    widths[0] = max(widths[0], width)
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in cells
    )


def code_table(
    codes: np.ndarray, labels: np.ndarray, codebook_size: int, phones_shown: int = 4
) -> list[list[str]]:
    """Make a table with headings, one row a code, the most used code first.

    The columns are the code, its count, its share of the frames, its most likely phone, and its
    most likely phones with p(phone | code). Unused codes come last, with a dash.

    Parameters
    ----------
    codes, labels
        Codes and phones (N,).
    codebook_size
        K.
    phones_shown
        At most this many phones a code.
    """
    counts, phones = joint_counts(codes, labels, codebook_size)
    totals = counts.sum(axis=1)
    rows = [["code", "count", "share", "phone", "phones"]]
    for code in np.argsort(-totals, kind="stable"):
        total = totals[code]
        if total == 0:
            rows.append([str(code), "0", "0.0000", "-", "-"])
            continue
        best = np.argsort(-counts[code], kind="stable")[:phones_shown]
        shares = [
            f"{phones[column]} {counts[code, column] / total:.2f}"
            for column in best
            if counts[code, column]
        ]
        share = f"{total / len(codes):.4f}"
        rows.append([str(code), str(total), share, phones[best[0]], "; ".join(shares)])
    return rows
