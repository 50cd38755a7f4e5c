#!/usr/bin/env python3
"""Paired-head attention in NumPy, as a target: --target "exec:python3 tools/exec_example/paired_attention.py"."""

import numpy as np

from protocol import serve


def pairs_of(heads, pairing):
    """For each pair, the head of the earlier and of the later row (SPEC 3.7, 15)."""
    half = heads // 2
    if pairing == "strided":
        return [(h, h + half) for h in range(half)]
    return [(2 * h, 2 * h + 1) for h in range(half)]


def paired_attention(inputs, parameters, pairs_of=pairs_of):
    q, k, v, grad_y = (inputs[name].astype(np.float64) for name in ("q", "k", "v", "grad_y"))
    tokens, heads, head_dim = q.shape
    kappa, window = float(inputs["softmax_scale"][0]), int(inputs["window"][0])
    row = np.arange(2 * tokens)
    document = np.searchsorted(inputs["cu_seqlens"], row // 2, side="right")
    age = row[:, None] - row[None, :]
    visible = (age >= 0) & (age <= window) & (document[:, None] == document[None, :])

    y, grad_q, grad_k, grad_v = (np.empty_like(q) for _ in range(4))
    logsumexp = np.empty((tokens, heads))
    for pair in map(list, pairs_of(heads, parameters["pairing"])):
        Q, K, V, G = (x[:, pair].reshape(2 * tokens, head_dim) for x in (q, k, v, grad_y))
        S = np.where(visible, kappa * (Q @ K.T), -np.inf)
        largest = S.max(axis=1, keepdims=True)
        P = np.exp(S - largest)
        total = P.sum(axis=1, keepdims=True)
        P /= total
        Y = P @ V
        dS = P * (G @ V.T - (G * Y).sum(axis=1, keepdims=True))
        for whole, part in ((y, Y), (grad_q, kappa * dS @ K), (grad_k, kappa * dS.T @ Q),
                            (grad_v, P.T @ G)):
            whole[:, pair] = part.reshape(tokens, 2, head_dim)
        logsumexp[:, pair] = (largest + np.log(total)).reshape(tokens, 2)
    return {"outputs/y": y, "outputs/logsumexp": logsumexp, "grads/q": grad_q, "grads/k": grad_k,
            "grads/v": grad_v}


if __name__ == "__main__":
    serve({"attention_paired": paired_attention})
