#!/usr/bin/env python3
"""Times one forward and backward pass of a whole configuration in PyTorch float64, as `pairedhead bench --model`
times the reference: random parameters, T tokens in two documents, gradients of every parameter.

    python3 tools/oracle/bench.py [--config record] [--tokens 256] [--threads 2] [--runs 3]

Dense masked attention, matrix products by torch.nn.functional.linear: what a user of PyTorch would write.
"""

import argparse
import time

import torch
import torch.nn.functional as F

import mathematics as m
import model

SIZES = {"record": (6, 128, 3072, 50304), "small": (6, 64, 1536, 50304), "tiny": (6, 16, 384, 512)}
WINDOWS = {"record": (128, 384), "small": (128, 384), "tiny": (4, 12)}
WORDS = "P1,s2,P,L,s,P,n,s,s0,P1,L2".split(",")


def norm(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + m.RMS_EPSILON)


def gate(x, w):
    return torch.sigmoid(F.linear(x[:, :12], w))


def rotate(x, cosine, sine):
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return cosine * x + sine * swapped


def attention_half(word, a, ve, w, factors, visible, kappa):
    tokens, width = a.shape
    heads = w["gate"].shape[0]
    u = F.linear(a, w["alpha"] * w["qkvo"][:3 * width]).view(tokens, 3, heads, -1)
    q, k, v = (rotate(norm(u[:, s]), *factors[word[0] == "P"]) if s < 2 else u[:, s] for s in range(3))
    if word[0] == "L":
        k = m.key_shift(k)
    if ve is not None:
        v = v + 2 * gate(a, w["value_gate"])[:, :, None] * ve.view(tokens, heads, -1)
    if word[0] == "P":  # the doubled rows: a reinterpretation of the same memory
        q, k, v = (x.reshape(2 * tokens, heads // 2, -1) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1),
                                       attn_mask=visible[word[0]], scale=kappa).transpose(0, 1)
    y = y.reshape(tokens, heads, -1) * gate(a, w["gate"])[:, :, None]
    return F.linear(y.reshape(tokens, width), w["omega"] * w["qkvo"][3 * width:])


def masks(tokens, documents, windows):
    """By kind of layer: rows see rows of their document at most a window back."""
    def mask(rows, window):
        document = torch.repeat_interleave(torch.arange(len(documents)), torch.tensor(documents) * rows)
        age = torch.arange(rows * tokens)[:, None] - torch.arange(rows * tokens)[None, :]
        return (document[:, None] == document[None, :]) & (age >= 0) & (age <= window)
    return {"P": mask(2, windows[0]), "s": mask(1, windows[0]), "L": mask(1, windows[1])}


def loss_of(p, tokens, targets, factors, visible, kappa, weights):
    depth, scalars = len(WORDS), p["scalars"]
    e = p["lm_head"][tokens]
    s = e.clone()
    s[1:] = e[1:] + scalars[3 * depth] * gate(e[1:], p["smear_gate"]) * e[:-1]
    x = x0 = norm(s)
    outputs, attention, gated = [], 0, 0
    for i, word in enumerate(WORDS):
        if i == 6:
            x = x + torch.sigmoid(scalars[3 * depth + 2]) * 2 * gate(x0, p["skip_gate"]) * outputs[3]
        x = scalars[i] * x + p["x0_lambdas"][i] * x0
        if word[0] != "n":
            w = {"qkvo": p[f"qkvo.{i}"], "gate": p["attn_gate_bank"][attention],
                 "alpha": scalars[depth + 2 * i], "omega": scalars[depth + 2 * i + 1]}
            attention += 1
            ve = None
            if len(word) == 2:
                ve, w["value_gate"] = p[f"value_embed.{word[1]}"][tokens], p["ve_gate_bank"][gated]
                gated += 1
            x = x + attention_half(word, norm(x), ve, w, factors, visible, kappa)
        h = F.linear(norm(x), p[f"c_fc.{i}"]).clamp(min=0).square()
        x = x + h @ p[f"c_proj.{i}"]
        outputs.append(x)
    x = norm(x - scalars[3 * depth + 1] * outputs[7])
    return model.loss(F.linear(x, p["lm_head"]), targets, weights, False)


def parameters(config):
    H, D, hidden, V = SIZES[config]
    C, depth = H * D, len(WORDS)
    shapes = {f"qkvo.{i}": (4 * C, C) for i in range(depth) if WORDS[i] != "n"}
    shapes |= {f"{name}.{i}": (hidden, C) for name in ("c_fc", "c_proj") for i in range(depth)}
    shapes |= {name: (V, C) for name in ("lm_head", "value_embed.0", "value_embed.1", "value_embed.2")}
    shapes |= {"smear_gate": (1, 12), "skip_gate": (1, 12), "attn_gate_bank": (10, H, 12), "ve_gate_bank": (5, H, 12),
               "x0_lambdas": (depth,), "scalars": (3 * depth + 3,)}
    return {name: (torch.randn(shape, dtype=torch.float64) * C**-0.5).requires_grad_()
            for name, shape in shapes.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="record", choices=SIZES)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    H, D, _, V = SIZES[a.config]
    p = parameters(a.config)
    stream = torch.randint(0, V, (a.tokens + 1,))
    factors = [[torch.from_numpy(f).double().view(a.tokens, -1, D)[:, torch.arange(H) % 2 if paired else [0]]
                for f in m.rotary_table(m.start_frequency(D), a.tokens, paired)] for paired in (False, True)]
    visible = masks(a.tokens, [a.tokens // 3, a.tokens - a.tokens // 3], WINDOWS[a.config])
    blas = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    print(f"PyTorch {torch.__version__}, {blas}, {torch.backends.cpu.get_cpu_capability()}, {a.threads} threads")
    for _ in range(a.runs):
        for tensor in p.values():
            tensor.grad = None
        start, cpu = time.perf_counter(), time.process_time()
        value = loss_of(p, stream[:-1], stream[1:], factors, visible, 0.1, [1, 0.5, 0.25])
        middle = time.perf_counter()
        value.backward()
        end = time.perf_counter()
        print(f"{a.config} T={a.tokens}: forward {middle - start:.3f} s, backward {end - middle:.3f} s, "
              f"together {end - start:.3f} s, processor time {time.process_time() - cpu:.3f} s")


if __name__ == "__main__":
    main()
