"""Find all pairs of 64-bit hashes within a Hamming radius: exactly, fast, in bounded memory.

Sorted-block join. The bits are split into m blocks; two hashes within radius r differ in at most r
blocks, so they agree in some choice of m - r blocks (pigeonhole). For every choice, the chosen
blocks are moved to the top of the word and the words are sorted: hashes that agree lie beside each
other, and only those are compared. Sorting the hashes themselves needs no index to be carried and
no gathering, and a Hamming distance does not care about the order of bits.

Bits of real hashes are correlated, so a fixed permutation spreads them over the blocks first, and
m is chosen by the bucket sizes that the hashes at hand really have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices, NDArray[np.uint8]]

MAX_RADIUS: Final = 16
MAX_PRODUCT: Final = 4096  # pairs that two groups of identical hashes are written out to

_CHUNK: Final = 1 << 16  # positions compared at once: stays in the cache
_AT_ONCE: Final = 1 << 18  # pairs compared at once
_SAMPLE: Final = 1 << 20
_ORDER: Final = np.random.default_rng(20).permutation(64)
# Seconds for a word and pass; only their ratio matters, to choose the number of blocks.
_SORT_COST: Final = 3e-9
_COMPARE_COST: Final = 4e-9


@dataclass(frozen=True, slots=True)
class _Distinct:
    """Hashes with identical ones collapsed; `rows[starts[k]:starts[k + 1]]` hold the k-th."""

    words: Hashes  # permuted and sorted
    rows: Indices
    starts: Indices


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which blocks must agree, and how a word is rearranged to have them on top."""

    moves: tuple[tuple[int, int, int], ...]  # (lowest bit before, width, lowest bit after)
    below_key: np.uint64  # all bits below the key set: a difference up to this has an equal key
    earlier: tuple[np.uint64, ...]  # blocks left out before the last chosen one, after the moves


def near_pairs(hashes: Hashes, radius: int, *, max_product: int = MAX_PRODUCT) -> Pairs:
    """Find every pair of positions whose hashes differ in at most `radius` bits.

    Parameters
    ----------
    hashes : ndarray of shape (N,), uint64
    radius : int
        0 to 16; the cost rises steeply with it.
    max_product : int
        Identical hashes are collapsed before the search. A group of them, or two groups near each
        other, that would give more pairs than this are written out as stars: the first of each
        with all of the other. 50,000 identical placeholders give 49,999 pairs, not 1.25 billion.

    Returns
    -------
    i, j : ndarray of shape (M,), int64
        i < j, sorted by i, then j; each pair once.
    distance : ndarray of shape (M,), uint8

    Raises
    ------
    ValueError
        If the hashes are not one-dimensional uint64, or the radius is out of range.
    """
    _check(hashes, radius)
    distinct = _collapse(hashes)
    u, v, d = _search(distinct.words, None, radius)
    same = np.arange(len(distinct.words))[np.diff(distinct.starts) > 1]
    near = _expand(distinct, distinct, u, v, d, max_product)
    equal = _expand(distinct, distinct, same, same, np.zeros(len(same), np.uint8), max_product)
    first, second = np.concatenate([near[0], equal[0]]), np.concatenate([near[1], equal[1]])
    i, j = np.minimum(first, second), np.maximum(first, second)
    d = np.concatenate([near[2], equal[2]])
    return _sorted_once(i, j, d, i < j)


def near_pairs_between(
    a: Hashes, b: Hashes, radius: int, *, max_product: int = MAX_PRODUCT
) -> Pairs:
    """Find every pair (position in `a`, position in `b`) within `radius` bits.

    As `near_pairs`, but between two arrays: i are positions in `a` and j in `b`.
    """
    _check(a, radius)
    _check(b, radius)
    left, right = _collapse(a), _collapse(b)
    u, v, d = _search(left.words, right.words, radius)
    i, j, d = _expand(left, right, u, v, d, max_product)
    return _sorted_once(i, j, d, np.ones(len(i), np.bool_))


def _check(hashes: Hashes, radius: int) -> None:
    if hashes.ndim != 1 or hashes.dtype != np.uint64:
        raise ValueError(
            f"`hashes` must be uint64 of shape (N,), got {hashes.dtype} {hashes.shape}"
        )
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"`radius` must be 0 to {MAX_RADIUS} bits, got {radius}")


# ---- Search among distinct words. ----------------------------------------------------------------


def _search(a: Hashes, b: Hashes | None, radius: int) -> Pairs:
    """Join sorted distinct words: positions in `a` and in `b`, or in `a` twice without `b`."""
    other = a if b is None else b
    founds: list[tuple[Hashes, Hashes]] = []
    if len(a) and len(other):
        for choice in _choices(_number_of_blocks(a, b, radius), radius):
            left = _rearranged(a, choice)
            left.sort()
            if b is None:
                hits = _hits_within(left, choice, radius)
            else:
                right = _rearranged(b, choice)
                right.sort()
                hits = _hits_between(left, right, choice, radius)
            x, y = _together(hits)
            founds.append((_restored(x, choice), _restored(y, choice)))
    x, y = _together(iter(founds))
    distance = np.bitwise_count(x ^ y)
    return np.searchsorted(a, x), np.searchsorted(other, y), distance


def _together(pairs: Iterator[tuple[Hashes, Hashes]]) -> tuple[Hashes, Hashes]:
    empty = np.empty(0, np.uint64)
    listed = [pair for pair in pairs if len(pair[0])]
    x = np.concatenate([empty, *(pair[0] for pair in listed)])
    y = np.concatenate([empty, *(pair[1] for pair in listed)])
    return x, y


def _hits_within(words: Hashes, choice: _Choice, radius: int) -> Iterator[tuple[Hashes, Hashes]]:
    """Compare each word with those after it that have the same key, in chunks of positions."""
    count = len(words)
    for first in range(0, count - 1, _CHUNK):
        last = min(first + _CHUNK, count - 1)
        # Nearly all is settled by the first step, which takes every position, so that slices do.
        x = words[first:last]
        difference = x ^ words[first + 1 : last + 1]
        hit = _hits(difference, choice, radius)
        yield x[hit], x[hit] ^ difference[hit]
        place = np.flatnonzero(difference <= choice.below_key) + first
        yield from _hits_in_runs(words, words[place], place + 2, choice, radius)


def _hits_between(
    a: Hashes, b: Hashes, choice: _Choice, radius: int
) -> Iterator[tuple[Hashes, Hashes]]:
    """Compare each word of `b` with those of `a` that have the same key."""
    for first in range(0, len(b), _CHUNK):
        part = b[first : first + _CHUNK]
        start = np.searchsorted(a, part & ~choice.below_key)
        for x, y in _hits_in_runs(a, part, start, choice, radius):
            yield y, x


def _hits_in_runs(
    words: Hashes, x: Hashes, start: Indices, choice: _Choice, radius: int
) -> Iterator[tuple[Hashes, Hashes]]:
    """Compare each of `x` with `words` from `start` to the end of its key, so many at a time."""
    stop = np.searchsorted(words, x | choice.below_key, side="right")
    count = np.maximum(stop - start, 0)
    some = np.flatnonzero(count)
    x, start, count = x[some], start[some], count[some]
    total = np.cumsum(count)
    first = 0
    while first < len(x):
        done = int(total[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(total, done + _AT_ONCE, side="right")))
        lengths = count[first:last]
        before = total[first:last] - lengths - done
        place = np.arange(int(lengths.sum())) + np.repeat(start[first:last] - before, lengths)
        left = np.repeat(x[first:last], lengths)
        difference = left ^ words[place]
        hit = _hits(difference, choice, radius)
        yield left[hit], left[hit] ^ difference[hit]
        first = last


def _hits(difference: Hashes, choice: _Choice, radius: int) -> Indices:
    """Find equal keys within the radius, each pair only under the first choice that shows it."""
    near = (np.bitwise_count(difference) <= radius) & (difference <= choice.below_key)
    hit = np.flatnonzero(near)
    if len(hit):
        found = difference[hit]
        first = np.ones(len(hit), np.bool_)
        for mask in choice.earlier:
            first &= (found & mask) != 0
        hit = hit[first]
    return hit


# ---- Blocks. -------------------------------------------------------------------------------------


def _choices(blocks: int, radius: int) -> list[_Choice]:
    edges = np.linspace(64, 0, blocks + 1).round().astype(int).tolist()
    layout = tuple((low, high - low) for high, low in pairwise(edges))
    return [_choice(layout, chosen) for chosen in combinations(range(blocks), blocks - radius)]


def _choice(layout: tuple[tuple[int, int], ...], chosen: tuple[int, ...]) -> _Choice:
    rest = (number for number in range(len(layout)) if number not in chosen)
    moves: list[tuple[int, int, int]] = []
    earlier: list[np.uint64] = []
    top = 64
    for number in (*chosen, *rest):
        low, width = layout[number]
        top -= width
        if number not in chosen and number < max(chosen):
            earlier.append(np.uint64(((1 << width) - 1) << top))
        if moves and moves[-1][0] == low + width:  # neighbours move together
            moves[-1] = (low, moves[-1][1] + width, top)
        else:
            moves.append((low, width, top))
    key_bits = sum(layout[number][1] for number in chosen)
    below_key = np.uint64((1 << (64 - key_bits)) - 1)
    return _Choice(moves=tuple(moves), below_key=below_key, earlier=tuple(earlier))


def _number_of_blocks(a: Hashes, b: Hashes | None, radius: int) -> int:
    """Choose how many blocks by what sorting and comparing would cost with these very words."""
    return min(range(radius + 1, radius + 6), key=lambda blocks: _cost(a, b, radius, blocks))


def _cost(a: Hashes, b: Hashes | None, radius: int, blocks: int) -> float:
    count = math.comb(blocks, blocks - radius)
    if count > 1000:
        return math.inf
    choices = _choices(blocks, radius)
    probes = {choices[0], choices[len(choices) // 2], choices[-1]}
    step = max(1, len(a) // _SAMPLE)
    bucket = float(np.mean([_mean_bucket(a[::step], choice) for choice in probes])) * step
    total = len(a) + (0 if b is None else len(b))
    compared = len(a) * bucket / 2 if b is None else len(b) * bucket
    sorting = _SORT_COST * total * math.log2(total + 2)
    return count * (sorting + _COMPARE_COST * (compared + total))


def _mean_bucket(words: Hashes, choice: _Choice) -> float:
    """How many other words a word meets under its key, on average."""
    keys = np.sort(_rearranged(words, choice) & ~choice.below_key)
    edges = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    sizes = np.diff(np.concatenate([[0], edges, [len(keys)]])).astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / max(1, len(keys)))


def _rearranged(words: Hashes, choice: _Choice) -> Hashes:
    moved = np.empty_like(words)
    for first in range(0, len(words), _CHUNK):
        part = words[first : first + _CHUNK]
        moved[first : first + _CHUNK] = _moved(part, choice.moves)
    return moved


def _restored(words: Hashes, choice: _Choice) -> Hashes:
    return _moved(words, tuple((after, width, before) for before, width, after in choice.moves))


def _moved(words: Hashes, moves: tuple[tuple[int, int, int], ...]) -> Hashes:
    result = np.zeros_like(words)
    for before, width, after in moves:
        part = words & np.uint64(((1 << width) - 1) << before)
        shift = np.uint64(abs(after - before))
        result |= part << shift if after > before else part >> shift
    return result


# ---- Identical hashes. ---------------------------------------------------------------------------


def _collapse(hashes: Hashes) -> _Distinct:
    permuted = _permuted(hashes)
    rows = np.argsort(permuted, kind="stable")
    ordered = permuted[rows]
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.append(np.flatnonzero(first), len(ordered))
    return _Distinct(ordered[first], rows, starts)


def _permuted(hashes: Hashes) -> Hashes:
    """Reorder the bits by the fixed permutation, a byte at a time through tables."""
    result = np.zeros(len(hashes), np.uint64)
    for number in range(8):
        table = np.zeros(256, np.uint64)
        for bit in range(8):
            value = np.uint64(1 << int(_ORDER[8 * number + bit]))
            table[(np.arange(256) >> bit & 1).astype(bool)] |= value
        for first in range(0, len(hashes), _CHUNK):
            part = slice(first, first + _CHUNK)
            result[part] |= table[(hashes[part] >> np.uint64(8 * number)).astype(np.uint8)]
    return result


def _expand(
    a: _Distinct, b: _Distinct, u: Indices, v: Indices, d: NDArray[np.uint8], max_product: int
) -> Pairs:
    """Turn pairs of groups into pairs of rows: all with all, or stars where that is too many."""
    size_a, size_b = a.starts[u + 1] - a.starts[u], b.starts[v + 1] - b.starts[v]
    whole = size_a * size_b <= max_product
    count = np.where(whole, size_a * size_b, size_a + size_b)
    pair = np.repeat(np.arange(len(u)), count)
    step = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    width, star = size_b[pair], ~whole[pair]
    first = np.where(star, np.maximum(step - width, 0), step // width)
    second = np.where(star, np.where(step < width, step, 0), step % width)
    return a.rows[a.starts[u[pair]] + first], b.rows[b.starts[v[pair]] + second], d[pair]


def _sorted_once(i: Indices, j: Indices, d: NDArray[np.uint8], keep: NDArray[np.bool_]) -> Pairs:
    i, j, d = i[keep], j[keep], d[keep]
    order = np.lexsort((j, i))
    i, j, d = i[order], j[order], d[order]
    new = np.ones(len(i), np.bool_)
    new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1])
    return i[new], j[new], d[new]
