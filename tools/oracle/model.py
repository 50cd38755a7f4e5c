"""SPEC's head, loss, block and whole model in float64 PyTorch, gradients by autograd (SPEC 3.1 to 3.9).

Made of the functions of mathematics.py and trunk.py; here is what joins them. A layer is the word that the
rows `block` and `model` take: P paired, s plain, L plain with the long window and shifted keys, n none,
then the value embedding's number.
"""

import torch

import mathematics as m
import trunk


def quantised(x, scale, dtype):
    """The values of the 8-bit codes of x / scale, for a float32 scale; beyond the largest they saturate."""
    largest = torch.finfo(dtype).max
    quotient = x.detach().float() / torch.tensor(scale, dtype=torch.float32)
    return quotient.clamp(-largest, largest).to(dtype).double()


SCALES = [float(torch.tensor(v / 448, dtype=torch.float32)) for v in (100, 1.6, 0.75)]


def gradient_codes(grad_z):
    """The values of the e5m2 codes of the logits' gradient."""
    return quantised(grad_z, SCALES[2], torch.float8_e5m2)


def fp8_logits(x, lm_head):
    """A quantisation is the identity to autograd, but the gradient of z is quantised on its way back."""
    x, lm_head = (v + (s * quantised(v, s, torch.float8_e4m3fn) - v).detach()
                  for v, s in zip((x, lm_head), SCALES))
    z = trunk.linear(x, lm_head)
    z.register_hook(lambda g: SCALES[2] * gradient_codes(g))
    return z


def softcap(z):
    return 23 * torch.sigmoid((z + 5) / 7.5)


def loss(z, targets, weights, validation):
    """All horizons at once: the targets of position t are the next len(weights), those past the end void."""
    log_probability = torch.log_softmax(softcap(z), dim=1)
    tokens = len(targets)
    if validation:
        return -log_probability[torch.arange(tokens), targets].mean()
    total = 0
    for k in range(min(len(weights), tokens)):
        total = total - weights[k] * log_probability[torch.arange(tokens - k), targets[k:]].sum()
    return total


def attention_half(word, a, ve, w, factors, heads, window, kappa, documents, pairing):
    """From the normalised stream to what is added to it. w: qkvo, gate, value_gate, alpha, omega."""
    tokens, width = a.shape
    q, k, v, o = w["qkvo"].reshape(4, width, width)
    q, k, v = (trunk.linear(a, w["alpha"] * part).reshape(tokens, heads, -1) for part in (q, k, v))
    paired = word[0] == "P"
    q, k = m.qk_prepare(q, k, *factors[paired], True, paired, word[0] == "L")
    if ve is not None:
        v = trunk.value_mix(v, ve, a, w["value_gate"])
    visible = m.visibility(tokens, heads, pairing if paired else "none", window, documents)
    y, _ = m.attention(q, k, v, kappa, visible)
    return trunk.linear(trunk.output_gate(y, a, w["gate"]).reshape(tokens, width), w["omega"] * o)


def block(word, x, x0, x_skip, ve, w, factors, heads, window, kappa, documents, pairing):
    """One layer. w: rho, lam, c_fc, c_proj, for a skip skip_gate and theta, and what attention needs."""
    if x_skip is not None:
        x = trunk.skip(x, x_skip, x0, w["skip_gate"], w["theta"])
    x = w["rho"] * x + w["lam"] * x0
    if word[0] != "n":
        x = x + attention_half(word, m.qk_norm(x), ve, w, factors, heads, window, kappa, documents, pairing)
    return x + trunk.mlp(m.qk_norm(x), w["c_fc"], w["c_proj"])


def logits(p, words, tokens, documents, windows, frequency, kappa, heads, skip, backout, pairing, split, fp8=False):
    """p: the parameters, families stacked as the row `model` has them."""
    depth = len(words)
    scalars = p["scalars"]
    factors = [[torch.from_numpy(f).double() for f in m.rotary_table(frequency, len(tokens), paired)]
               for paired in (False, True)]
    e = p["embed" if split else "lm_head"][tokens]
    x0 = m.qk_norm(trunk.smear(e, p["smear_gate"], scalars[3 * depth:3 * depth + 1]))
    x, outputs = x0, []
    attention, gated = 0, 0
    for i, word in enumerate(words):
        w = {"rho": scalars[i], "lam": p["x0_lambdas"][i], "c_fc": p["c_fc"][i], "c_proj": p["c_proj"][i],
             "skip_gate": p["skip_gate"], "theta": scalars[3 * depth + 2]}
        ve = None
        if word[0] != "n":
            w |= {"qkvo": p["qkvo"][attention], "gate": p["attn_gate_bank"][attention],
                  "alpha": scalars[depth + 2 * i], "omega": scalars[depth + 2 * i + 1]}
            attention += 1
        if len(word) == 2:
            ve, w["value_gate"] = p["value_embed"][int(word[1])][tokens], p["ve_gate_bank"][gated]
            gated += 1
        x_skip = outputs[skip[0]] if i == skip[1] else None
        x = block(word, x, x0, x_skip, ve, w, factors, heads, windows[word[0] == "L"], kappa, documents, pairing)
        outputs.append(x)
    x = x - scalars[3 * depth + 1] * outputs[backout]
    x = m.qk_norm(x)
    return fp8_logits(x, p["lm_head"]) if fp8 else trunk.linear(x, p["lm_head"])
