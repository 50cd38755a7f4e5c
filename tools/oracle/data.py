"""SPEC's schedule of windows, shard files and packing of documents in NumPy (SPEC 7, 8)."""

import numpy as np

MAGIC, VERSION, HEADER = 20240520, 1, 256


def window_schedule(step, scheduled, extension, window_unit=128):
    """Short and long window of a step, in tokens; the step after the last is the final validation."""
    long_by_phase = [3, 7, 11, 13]
    blocks = long_by_phase[min(3 * step // scheduled, 3)]
    short = blocks // 2
    if step == scheduled + extension:
        blocks = 20
    return window_unit * short, window_unit * blocks


def shard(tokens):
    """The bytes of a shard file, as little-endian uint16 words."""
    header = np.zeros(HEADER, "<i4")
    header[:3] = MAGIC, VERSION, len(tokens)
    return np.frombuffer(header.tobytes() + np.asarray(tokens, "<u2").tobytes(), "<u2")


def read_shard(words):
    header = np.frombuffer(words[:2 * HEADER].tobytes(), "<i4")
    assert tuple(header[:2]) == (MAGIC, VERSION) and len(words) == 2 * HEADER + header[2]
    return words[2 * HEADER:]


def pack(tokens, bos, T, max_document, calls):
    """Packs `calls` sequences of T tokens: lists of inputs, targets and cu_seqlens."""
    starts = np.flatnonzero(tokens == bos)
    ends = np.append(starts[1:], len(tokens))
    document = 0
    entries = 128 * max(1, -(-(T // 300) // 128))
    for _ in range(calls):
        pieces, room = [], T + 1
        while room > 0:
            start = starts[document]
            pieces.append(tokens[start:min(ends[document], start + max_document, start + room)])
            room -= len(pieces[-1])
            document += 1
        buffer = np.concatenate(pieces)
        lengths = [len(piece) for piece in pieces]
        lengths[-1] -= 1
        cu_seqlens = np.full(entries, T)
        cu_seqlens[0] = 0
        cu_seqlens[1:len(lengths) + 1] = np.cumsum(lengths)
        yield buffer[:-1], buffer[1:], cu_seqlens
