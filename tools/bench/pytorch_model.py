"""Times SPEC's whole model in float64 PyTorch, forward and backward, for `pairedhead bench --device cpu --peer`.

Reads one line of JSON, {"shard", "tokens", "repeats"}, and answers one: medians in milliseconds, and what computed
them. The record configuration on the first tokens of the shard, with random parameters; the mathematics is the
oracle's (tools/oracle/model.py).
"""

import functools
import json
import pathlib
import statistics
import sys
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "oracle"))
import model  # noqa: E402
import model_cases  # noqa: E402



def rotary(x, cosine, sine, paired):
    """The oracle's rotary as one would write it for speed, without a matrix for every token and head."""
    tokens, heads, head_dim = x.shape
    parity = torch.arange(heads) % 2 if paired else torch.zeros(heads, dtype=torch.int64)
    cosine, sine = (f.reshape(tokens, -1, head_dim)[:, parity] for f in (cosine, sine))
    return cosine * x + sine * x.unflatten(2, (-1, 2)).flip(3).flatten(2)


model.m.rotary = rotary
# Masks are made in Python loops: once for each kind of layer, in the run that warms up.
model.m.visibility = functools.cache(model.m.visibility)

HEADS, HEAD_DIM, HIDDEN, VOCABULARY, BOS = 6, 128, 3072, 50304, 50256
HEADER_BYTES = 1024
THREADS = 2


def blas():
    return "MKL" if "BLAS_INFO=mkl" in torch.__config__.show() else "another BLAS than MKL"


def parameters(words):
    """Leaves by name; a family of matrices is a list, so that its gradients are no larger than its members."""
    random = np.random.default_rng(1)
    leaves = {}
    for name, (shape, size) in model_cases.parameter_shapes(words, HEADS, HEAD_DIM, HIDDEN, VOCABULARY).items():
        value = 0.02 * random.standard_normal(shape) + (size is None)
        members = list(value) if value.ndim == 3 else [value]
        tensors = [torch.tensor(member, requires_grad=True) for member in members]
        leaves[name] = tensors if value.ndim == 3 else tensors[0]
    return leaves


def main(shard, tokens, repeats):
    torch.set_num_threads(THREADS)
    text = np.fromfile(shard, dtype=np.uint16, offset=HEADER_BYTES, count=tokens + 1).astype(np.int64)
    inputs, targets = torch.from_numpy(text[:-1]), torch.from_numpy(text[1:])
    starts = [0] + [int(i) for i in np.flatnonzero(text[:-1] == BOS) if i > 0] + [tokens]
    documents = tuple(np.diff(starts))
    words = model_cases.RECORD_LAYERS.split(",")
    leaves = parameters(words)
    frequency = model_cases.rotary_inputs(HEAD_DIM, 0)["frequency"][0]
    forward, backward = [], []
    for _ in range(repeats + 1):
        for family in leaves.values():
            for leaf in family if isinstance(family, list) else [family]:
                leaf.grad = None
        start = time.perf_counter()
        z = model.logits(leaves, words, inputs, documents, (128, 384), frequency, 0.1, HEADS, (3, 6), 7, "strided", 0)
        loss = model.loss(z, targets, [1.0, 0.5, 0.25], 0)
        middle = time.perf_counter()
        loss.backward()
        forward.append(1e3 * (middle - start))
        backward.append(1e3 * (time.perf_counter() - middle))
    print(json.dumps({"forward_ms": statistics.median(forward[1:]), "backward_ms": statistics.median(backward[1:]),
                      "name": f"PyTorch {torch.__version__} float64, {blas()}, {THREADS} threads"}))


if __name__ == "__main__":
    question = json.loads(sys.stdin.readline())
    main(question["shard"], question["tokens"], question["repeats"])
