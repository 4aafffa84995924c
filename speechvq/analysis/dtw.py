"""Distances of sequences by dynamic time warping, and ABX errors by them; numba compiles it.

Frames of all sequences lie in one array (F, D) of float64; a sequence is given by its first frame
and its length. All compiled code is in this file: numba looks at no other file's date.
"""

import math

import numba
import numpy as np

TIED = 1e9
"""Distances are rounded to 1 / TIED: sums of equal terms in another order are then equal, too."""


def same_length(frames: np.ndarray) -> np.ndarray:
    """Scale frames (F, D) to length 1; zero stays zero."""
    lengths = np.linalg.norm(frames, axis=1, keepdims=True)
    return frames / np.where(lengths == 0, 1, lengths)


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _angle(frames, i, j):
    """Angle between two frames of length 1, in units of π.

    Exactly 0 for equal frames, 1 for opposite ones, 0.5 where one of them is zero. Source: Kahan,
    "How futile are mindless assessments of roundoff in floating-point computation?", 2006; the arc
    cosine of a product loses half of the digits.
    """
    apart, together = 0.0, 0.0
    for d in range(frames.shape[1]):
        u, v = frames[i, d], frames[j, d]
        apart += (u - v) * (u - v)
        together += (u + v) * (u + v)
    return 2 * math.atan2(math.sqrt(apart), math.sqrt(together)) / math.pi


@numba.njit(cache=True)
def _differing(frames, i, j):
    """Number of components in which two frames differ."""
    count = 0.0
    for d in range(frames.shape[1]):
        count += frames[i, d] != frames[j, d]
    return count


@numba.njit(cache=True)
def sequence_distance(frames, x, n, y, m, angular):
    """Mean distance of frames on the warping path of least sum.

    A step goes to the next frame of either sequence or of both. Of paths with equal sums the one
    with the diagonal last step counts, then that with the step in y alone, as in Libri-Light and
    fastabx.

    Parameters
    ----------
    frames
        (F, D).
    x, n
        First frame and number of frames of the one sequence, n at least 1.
    y, m
        Those of the other.
    angular
        Whether frames are compared by their angle, else by the number of differing components.
    """
    costs, lengths = np.full(m + 1, math.inf), np.zeros(m + 1, np.int64)
    costs[0] = 0
    for i in range(n):
        diagonal, diagonal_length = costs[0], 0
        costs[0] = math.inf
        for j in range(1, m + 1):
            left, above, length = costs[j - 1], costs[j], lengths[j]
            if diagonal <= left and diagonal <= above:
                best, steps = diagonal, diagonal_length
            elif left <= above:
                best, steps = left, lengths[j - 1]
            else:
                best, steps = above, length
            if angular:
                distance = _angle(frames, x + i, y + j - 1)
            else:
                distance = _differing(frames, x + i, y + j - 1)
            costs[j], lengths[j] = best + distance, steps + 1
            diagonal, diagonal_length = above, length
    return costs[m] / lengths[m]


@numba.njit(cache=True)
def _distances(frames, first, length, x, y, angular):
    """Distances (X, Y) of tokens."""
    found = np.empty((len(x), len(y)))
    for i in range(len(x)):
        for j in range(len(y)):
            distance = sequence_distance(
                frames, first[x[i]], length[x[i]], first[y[j]], length[y[j]], angular
            )
            found[i, j] = np.round(distance * TIED)
    return found


@numba.njit(cache=True)
def wrong_triples(frames, first, length, a, b, x, same, angular):
    """Number of triples of a cell whose X is nearer to B than to A; ties count one half.

    Parameters
    ----------
    frames
        (F, D).
    first, length
        First frame and number of frames of each token.
    a, b, x
        Indices of tokens; each of a, b and x make a triple.
    same
        Whether a and x are the same tokens; none is then compared with itself.
    angular
        As in `sequence_distance`.
    """
    to_a = _distances(frames, first, length, x, a, angular)
    to_b = _distances(frames, first, length, x, b, angular)
    count = 0.0
    for i in range(len(x)):
        for j in range(len(a)):
            if same and i == j:
                continue
            for k in range(len(b)):
                count += 1.0 if to_a[i, j] > to_b[i, k] else 0.5 * (to_a[i, j] == to_b[i, k])
    return count
