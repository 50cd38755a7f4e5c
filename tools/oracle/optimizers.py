"""SPEC's optimizers, fp8 and schedules a third time.

Polar express by singular values: a step takes each to s (a + b s^2 + c s^4) and leaves the vectors. What
SPEC defines as a sequence of fp32 operations is done in float32 tensors, one operation at a time;
fp8 by PyTorch's own conversions.
"""

import fractions

import numpy as np
import torch

POLAR = [(8.156554524902461, -22.48329292557795, 15.878769915207462),
         (4.042929935166739, -2.808917465908714, 0.5000178451051316),
         (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
         (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
         (2.3465413258596377, -1.7097828382687081, 0.42323551169305323)]


def single(x):
    """A float32 tensor; every operation on such rounds once."""
    return torch.as_tensor(np.asarray(x, dtype=np.float32))


# --- fp8 (SPEC 3.8, 13.4) -----------------------------------------------------------------------


def quantise_fp8(x, scale):
    quotient = single(x) / single(scale)
    codes = ((torch.float8_e4m3fn, 448), (torch.float8_e5m2, 57344))
    return [quotient.clamp(-largest, largest).to(dtype).to(torch.float32).numpy()
            for dtype, largest in codes]


# --- NorMuon (SPEC 6.1) -------------------------------------------------------------------------


def momentum(gradient, moment, mu):
    moment = torch.lerp(gradient, moment, mu)
    return moment, torch.lerp(gradient, moment, mu)


def polar_normalise(direction):
    x = direction.T if direction.shape[0] > direction.shape[1] else direction
    return x / (torch.linalg.matrix_norm(x) * 1.02 + 1e-6)


def with_singular_values(x, change):
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    return u @ torch.diag(change(s)) @ vh


def polar_polynomial(s, iteration):
    a, b, c = POLAR[iteration]
    return s * (a + s**2 * (b + s**2 * c))


def polar_iteration(x, iteration):
    return with_singular_values(x, lambda s: polar_polynomial(s, iteration))


def polar_express(direction):
    def composed(s):
        for iteration in range(5):
            s = polar_polynomial(s, iteration)
        return s
    x = with_singular_values(polar_normalise(direction), composed)
    return x.T if direction.shape[0] > direction.shape[1] else x


def variance_reduction(update, second_moment):
    """Rows over their running root mean square, then the whole brought back to its norm."""
    second_moment = 0.95 * second_moment + 0.05 * update.square().mean(dim=1)
    scaled = update / second_moment.clamp(min=1e-10).sqrt()[:, None]
    norm, scaled_norm = (torch.linalg.matrix_norm(m) for m in (update, scaled))
    return scaled * (norm / scaled_norm.clamp(min=1e-10)), second_moment


def normuon_rates(rows, columns, lr, lr_mul, wd_mul):
    eta = 0.023 * lr
    return eta * max(1, rows / columns) ** 0.5 * lr_mul, eta * 1.2 * wd_mul


def normuon_update(p, gradient, moment, second_moment, matrices, mu, learning_rate, weight_decay):
    """One parameter in float64, nothing rounded: p, moment and second_moment after a step."""
    moment, direction = momentum(gradient, moment, mu)
    parts = [variance_reduction(polar_express(part), rows)
             for part, rows in zip(direction.chunk(matrices), second_moment.chunk(matrices))]
    update, second_moment = (torch.cat(halves) for halves in zip(*parts))
    return cautious_update(p, update, learning_rate, weight_decay), moment, second_moment


def cautious_update(z, o, learning_rate, weight_decay):
    """In the precision of its tensors."""
    keep = (o * z >= 0).to(z.dtype)
    return (z - ((z * keep) * weight_decay) * learning_rate) - o * learning_rate


def cautious_split_update(parameter, mantissa, direction, learning_rate, weight_decay):
    """bf16 halves (as float32) and uint16; returns the same two."""
    high = np.asarray(parameter, np.float32).view(np.uint32)
    z = single((high | mantissa.astype(np.uint32)).view(np.float32))
    moved = cautious_update(z, single(direction), single(learning_rate), single(weight_decay))
    bits = moved.numpy().view(np.uint32)
    return (bits & 0xFFFF0000).view(np.float32), (bits & 0xFFFF).astype(np.uint16)


# --- Adam (SPEC 6.3) ----------------------------------------------------------------------------


def adam_update(p, g, m, v, beta1, beta2, learning_rate, weight_decay, updates, number=single):
    """In the precision that `number` gives; the factors are made in double first."""
    m = number(beta1) * m + number(1 - beta1) * g
    v = number(beta2) * v + number(1 - beta2) * (g * g)
    step_size = learning_rate * (1 - beta2**updates) ** 0.5 / (1 - beta1**updates)
    root = v.double().sqrt().to(v.dtype)  # PyTorch's float32 root is not always the nearest
    update = (number(step_size) * m) / (root + number(1e-10))
    keep = (update * p > 0).to(p.dtype)
    return p - (update + (keep * p) * number(learning_rate**2 * weight_decay)), m, v


# SPEC 2 and 6.3 by label: betas, lr_mul, wd_mul.
ADAM = {"lm_head": ((0.5, 0.95), 1, 150), "embed": ((0.5, 0.95), 1, 150), "value_embed": ((0.75, 0.95), 75, 5),
        "smear_gate": ((0.9, 0.99), 0.01, 0), "skip_gate": ((0.9, 0.99), 0.05, 0),
        "attn_gate_bank": ((0.9, 0.99), 1, 1), "ve_gate_bank": ((0.9, 0.99), 1, 1),
        "x0_lambdas": ((0.65, 0.95), 5, 0), "scalars": ((0.9, 0.99), 5, 0)}


def adam_rates(lr, lr_mul, wd_mul):
    return 0.008 * lr * lr_mul, 0.005 * wd_mul


def double(x):
    return torch.as_tensor(np.asarray(x, dtype=np.float64))


def adam_step(parameter, gradient, first, second, *factors):
    tensors = (single(x) for x in (parameter, gradient, first, second))
    return [x.numpy() for x in adam_update(*tensors, *factors)]


# --- schedules (SPEC 7.2, 7.3), in fractions ----------------------------------------------------


def learning_rate(step, scheduled):
    x = fractions.Fraction(step, scheduled)
    if x > 1:
        return 0.1
    top = 1.0 if 3 * x <= 1 else 1.52 if 3 * x <= 2 else 1.73
    cooled = max(fractions.Fraction(0), 2 * x - 1)
    return float(top * (1 - cooled) + 0.1 * cooled)


def muon_momentum(step, total, warm_up, cool_down):
    if step < warm_up:
        return float(fractions.Fraction(85, 100) + fractions.Fraction(step, 10 * warm_up))
    late = max(0, step - (total - cool_down))
    return float(fractions.Fraction(95, 100) - fractions.Fraction(late, 10 * cool_down))
