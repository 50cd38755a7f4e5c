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


class Packer:
    """Training sequences out of one shard, document after document."""

    def __init__(self, tokens, bos, max_document):
        self.tokens, self.max_document, self.document = tokens, max_document, 0
        self.starts = np.flatnonzero(tokens == bos)
        self.ends = np.append(self.starts[1:], len(tokens))

    def next(self, T):
        """Inputs, targets and the lengths of the pieces among the inputs."""
        pieces, room = [], T + 1
        while room > 0:
            start = self.starts[self.document]
            pieces.append(self.tokens[start:min(self.ends[self.document], start + self.max_document, start + room)])
            room -= len(pieces[-1])
            self.document += 1
        buffer = np.concatenate(pieces)
        lengths = [len(piece) for piece in pieces]
        lengths[-1] -= 1
        return buffer[:-1], buffer[1:], lengths


def pack(tokens, bos, T, max_document, calls):
    """Packs `calls` sequences of T tokens: lists of inputs, targets and cu_seqlens."""
    packer = Packer(tokens, bos, max_document)
    entries = 128 * max(1, -(-(T // 300) // 128))
    for _ in range(calls):
        inputs, targets, lengths = packer.next(T)
        cu_seqlens = np.full(entries, T)
        cu_seqlens[0] = 0
        cu_seqlens[1:len(lengths) + 1] = np.cumsum(lengths)
        yield inputs, targets, cu_seqlens


def validation_sequence(tokens, bos, position, T):
    """Inputs, targets and the lengths of the stretches between the BOS among the inputs."""
    inputs, targets = tokens[position:position + T], tokens[position + 1:position + T + 1]
    lengths = np.diff(np.concatenate([[0], np.flatnonzero(inputs == bos), [T]]))
    return inputs, targets, lengths.tolist()
