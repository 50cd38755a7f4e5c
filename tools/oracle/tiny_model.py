#!/usr/bin/env python3
"""Writes tests/golden/tiny_model.h5: loss and gradients of the whole tiny configuration (SPEC 15).

    python3 tools/oracle/tiny_model.py [--out tests/golden/tiny_model.h5]

Too large to store whole: the parameters come from SplitMix64 streams that whoever checks the file draws
again, and of a large gradient the file holds its norm, its products with two such streams, and 256 entries.
"""

import argparse
import os
import pathlib

import h5py
import numpy as np
import torch

import mathematics as m
import model

ROOT = pathlib.Path(__file__).resolve().parents[2]
H, D, HIDDEN, V, T = 6, 16, 384, 512, 64
DOCUMENTS, WINDOWS, SKIP, BACKOUT = [20, 0, 44], (4, 12), (3, 6), 7
WORDS = "P1,s2,P,L,s,P,n,s,s0,P1,L2".split(",")
WHOLE = 1200  # gradients of at most so many values are stored whole
TOKENS, PROBES, SAMPLES = 999, 5000, 9000  # seeds; the parameters have 1000 and on


def bits(seed, count):
    """SplitMix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(seed, count):
    """In [0, 1)."""
    return (bits(seed, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def parameters():
    """By name, in the order of SPEC 2: matrices in [-1/8, 1/8), tables and gates in [-1/2, 1/2), lambdas from 1/4."""
    C, depth = H * D, len(WORDS)
    shapes = {f"qkvo.{i}": (4 * C, C) for i in range(depth) if WORDS[i] != "n"}
    shapes |= {f"{name}.{i}": (HIDDEN, C) for name in ("c_fc", "c_proj") for i in range(depth)}
    shapes |= {name: (V, C) for name in ("lm_head", "embed", "value_embed.0", "value_embed.1", "value_embed.2")}
    shapes |= {"smear_gate": (1, 12), "skip_gate": (1, 12), "attn_gate_bank": (10, H, 12), "ve_gate_bank": (5, H, 12),
               "x0_lambdas": (depth,), "scalars": (3 * depth + 3,)}
    values = {}
    for i, (name, shape) in enumerate(shapes.items()):
        u = uniform(1000 + i, int(np.prod(shape))).reshape(shape)
        if name in ("x0_lambdas", "scalars"):
            values[name] = 0.25 + u
        else:
            values[name] = (0.125 if name.startswith(("qkvo", "c_")) else 0.5) * (2 * u - 1)
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def stacked(p):
    """As model.logits takes them."""
    families = {name: torch.stack([tensor for key, tensor in p.items() if key.startswith(name + ".")])
                for name in ("qkvo", "c_fc", "c_proj", "value_embed")}
    return families | {name: tensor for name, tensor in p.items() if "." not in name}


def write(file, name, weights, split):
    p = parameters()
    stream = torch.from_numpy((bits(TOKENS, T + 1) % np.uint64(V)).astype(np.int64))
    frequency, kappa = m.yarn_update(m.start_frequency(D), 0.1, 3, 7, 4)
    z = model.logits(stacked(p), WORDS, stream[:-1], DOCUMENTS, WINDOWS, frequency, kappa, H, SKIP, BACKOUT,
                     "strided", split)
    loss = model.loss(z, stream[1:], weights, False)
    loss.backward()
    group = file.create_group(name)

    def put(path, array):
        group.create_dataset(path, data=np.atleast_1d(np.asarray(array, np.float64)), track_times=False)

    put("loss", loss.item())
    for i, (parameter, tensor) in enumerate(p.items()):
        if tensor.grad is None:
            continue
        g = tensor.grad.numpy().reshape(-1)
        if g.size <= WHOLE:
            put(f"{parameter}/whole", g)
            continue
        put(f"{parameter}/norm", np.linalg.norm(g))
        put(f"{parameter}/products", [g @ (2 * uniform(PROBES + 2 * i + k, g.size) - 1) for k in range(2)])
        put(f"{parameter}/samples", g[(bits(SAMPLES + i, 256) % np.uint64(g.size)).astype(np.int64)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests" / "golden" / "tiny_model.h5")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    temporary = out.with_suffix(".tmp")
    with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        write(file, "tied", [1, 0.5, 0.25], False)
        write(file, "split", [1, 0.5], True)
    os.replace(temporary, out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
