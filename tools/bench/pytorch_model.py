"""Times SPEC's whole model in float64 PyTorch, forward and backward, for `pairedhead bench --device cpu --peer`.

    pytorch_model.py TOKENS.bin T REPEATS

The record configuration on the first T tokens of a shard, with random parameters. Prints one line of JSON: medians in
milliseconds, and what computed them. The mathematics is the oracle's (tools/oracle/model.py).
"""

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

HEADS, HEAD_DIM, HIDDEN, VOCABULARY, BOS = 6, 128, 3072, 50304, 50256
HEADER_BYTES = 1024
THREADS = 2


def blas():
    config = torch.__config__.show()
    return "MKL" if "BLAS_INFO=mkl" in config else "OpenBLAS" if "OpenBLAS" in config or "open" in config else "unknown BLAS"


def main(shard, tokens, repeats):
    torch.set_num_threads(THREADS)
    text = np.fromfile(shard, dtype=np.uint16, offset=HEADER_BYTES, count=tokens + 1).astype(np.int64)
    inputs, targets = torch.from_numpy(text[:-1]), torch.from_numpy(text[1:])
    starts = [0] + [int(i) for i in np.flatnonzero(text[:-1] == BOS) if i > 0] + [tokens]
    documents = list(np.diff(starts))
    words = model_cases.RECORD_LAYERS.split(",")
    random = np.random.default_rng(1)
    leaves = {name: torch.tensor(0.02 * random.standard_normal(shape) + (size is None), requires_grad=True)
              for name, (shape, size) in model_cases.parameter_shapes(words, HEADS, HEAD_DIM, HIDDEN, VOCABULARY).items()}
    frequency = model_cases.rotary_inputs(HEAD_DIM, 0)["frequency"][0]
    forward, backward = [], []
    for _ in range(repeats + 1):
        for leaf in leaves.values():
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
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
