"""SPEC's components in float64 PyTorch, gradients by autograd.

A third formulation, unlike both C++ ones: attention is one dense softmax over all T*H (token, head)
rows under a boolean mask built from a clock (pair, moment), rotary is a dense D x D matrix, key shift
and the paired view are gathers, and no backward formula is written down anywhere.
"""

import numpy as np
import torch

RMS_EPSILON = 2.0**-23


def bf16(x):
    """Nearest bf16 of float32 values (ties to even), as float32."""
    return torch.from_numpy(np.asarray(x, dtype=np.float32)).to(torch.bfloat16).to(torch.float32).numpy()


# --- who is whose partner (SPEC 3.7, 15) --------------------------------------------------------


def pair_and_row(heads, pairing):
    """For each head: the pair it belongs to and its row-in-pair; plain heads are alone."""
    half = heads // 2
    if pairing == "none":
        return [(h, 0) for h in range(heads)]
    if pairing == "strided":
        return [(h % half, h // half) for h in range(heads)]
    if pairing == "adjacent":
        return [(h // 2, h % 2) for h in range(heads)]
    raise ValueError(f"pairing: expected none, strided or adjacent, got {pairing}")


def visibility(tokens, heads, pairing, window, documents):
    """Boolean [T*H, T*H]: whether the query (row) sees the key (column).

    Each (token, head) has a pair and a moment on that pair's clock, which ticks once a row. A key is
    seen within its own document, at or before the query's moment, at most `window` ticks earlier.
    """
    rows = 1 if pairing == "none" else 2
    document_of = np.repeat(np.arange(len(documents)), documents)
    pair, moment, document = (np.empty(tokens * heads, dtype=np.int64) for _ in range(3))
    for h, (g, r) in enumerate(pair_and_row(heads, pairing)):
        pair[h::heads] = g
        moment[h::heads] = rows * np.arange(tokens) + r
        document[h::heads] = document_of
    age = moment[:, None] - moment[None, :]
    same = (pair[:, None] == pair[None, :]) & (document[:, None] == document[None, :])
    return torch.from_numpy(same & (age >= 0) & (age <= window))


def attention(q, k, v, softmax_scale, visible):
    """q, k, v: [T, H, D]. Returns y [T, H, D] and logsumexp [T, H]."""
    tokens, heads, head_dim = q.shape
    q, k, v = (x.reshape(tokens * heads, head_dim) for x in (q, k, v))
    scores = (softmax_scale * (q @ k.T)).masked_fill(~visible, -torch.inf)
    y = torch.softmax(scores, dim=1) @ v
    return y.reshape(tokens, heads, head_dim), torch.logsumexp(scores, dim=1).reshape(tokens, heads)


# --- the paired view (SPEC 3.7) -----------------------------------------------------------------


def flat_index(tokens, heads, pairing):
    """[2T, H/2] of t*H + h: where each flat row and slot finds its (token, head)."""
    index = torch.empty(2 * tokens, heads // 2, dtype=torch.int64)
    for h, (slot, row) in enumerate(pair_and_row(heads, pairing)):
        index[row::2, slot] = torch.arange(tokens) * heads + h
    return index


def interleave(x, pairing):
    tokens, heads, head_dim = x.shape
    return x.reshape(tokens * heads, head_dim)[flat_index(tokens, heads, pairing)]


def deinterleave(flat, pairing):
    rows, half, head_dim = flat.shape
    index = flat_index(rows // 2, 2 * half, pairing).reshape(-1)
    scattered = torch.zeros(index.numel(), head_dim, dtype=flat.dtype)
    return scattered.index_copy(0, index, flat.reshape(-1, head_dim)).reshape(
        rows // 2, 2 * half, head_dim)


# --- norm, rotary, key shift (SPEC 3, 3.4, 3.6) -------------------------------------------------


def qk_norm(x):
    return x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + RMS_EPSILON)


def rotary(x, cosine, sine, paired):
    """y = (diag(cosine) + diag(sine) swap) x, the matrix of each token and head formed in full."""
    tokens, heads, head_dim = x.shape
    swap = torch.eye(head_dim, dtype=x.dtype)[torch.arange(head_dim) ^ 1]
    parity = torch.arange(heads) % 2 if paired else torch.zeros(heads, dtype=torch.int64)
    cosine, sine = (f.reshape(tokens, -1, head_dim)[:, parity] for f in (cosine, sine))
    matrix = torch.diag_embed(cosine) + torch.diag_embed(sine) @ swap
    return torch.einsum("thij,thj->thi", matrix, x)


def key_shift(k):
    tokens, _, head_dim = k.shape
    quarter = torch.arange(head_dim) // (head_dim // 4)
    token = torch.arange(tokens)[:, None]
    source = torch.where(quarter % 2 == 1, (token - 1).clamp(min=0), token)
    return k.gather(0, source[:, None, :].expand_as(k))


def qk_prepare(q, k, cosine, sine, normalise, paired, shift):
    if normalise:
        q, k = qk_norm(q), qk_norm(k)
    q, k = rotary(q, cosine, sine, paired), rotary(k, cosine, sine, paired)
    return q, key_shift(k) if shift else k


# --- rotary tables and YaRN (SPEC 3.4, 3.5), in NumPy ------------------------------------------


def start_frequency(head_dim):
    """float32 [D]: 1024^(-m/(D/4-1)) computed in double, twice each; the upper half stationary."""
    m = np.arange(head_dim // 4, dtype=np.float64)
    base = (1024.0 ** (-m / (head_dim // 4 - 1))).astype(np.float32)
    return np.concatenate([np.repeat(base, 2), np.zeros(head_dim // 2, np.float32)])


def rotary_table(frequency, tokens, paired):
    """cosine and signed sine, float32 holding bf16 values: [T, D], or [T, 2D] where paired."""
    positions = np.arange(2 * tokens if paired else tokens).astype(np.float32)
    theta = (positions[:, None] * frequency[None, :]).astype(np.float64)
    sign = np.where(np.arange(len(frequency)) % 2 == 0, 1, -1).astype(np.float32)
    cosine = bf16(np.cos(theta).astype(np.float32))
    sine = bf16(np.sin(theta).astype(np.float32)) * sign
    return cosine.reshape(tokens, -1), sine.reshape(tokens, -1)


def yarn_update(frequency, softmax_scale, old_blocks, new_blocks, window_unit):
    f = frequency.astype(np.float64)
    turns = window_unit * old_blocks * f / (2 * np.pi)
    shrink = old_blocks / new_blocks
    kept = np.clip((turns - 1) / (32 - 1), 0, 1)
    frequency = (f * (shrink + kept * (1 - shrink))).astype(np.float32)
    return frequency, softmax_scale * (1 + 0.2 * np.log(new_blocks / old_blocks))
