"""The trunk's components (SPEC 2.3, 3.1, 3.3, 3.6, 3.8) in float64 PyTorch, gradients by autograd.

Unlike the C++: lookups are products with one-hot matrices, smear one T x T matrix, and every layer a
contraction of named axes.
"""

import torch

GATE_CHANNELS = 12


def gate(x, w):
    """sig(<x[t, 0:12], w[h]>), [T, heads of w]."""
    return torch.sigmoid(torch.einsum("tc,hc->th", x[:, :GATE_CHANNELS], w))


def relu_squared(p):
    return torch.where(p > 0, p.square(), torch.zeros_like(p))


def residual_mix(x, x0, rho, lam):
    return torch.einsum("i,itc->tc", torch.cat([rho, lam]), torch.stack([x, x0]))


def backout(x, x_back, beta):
    return residual_mix(x, x_back, torch.ones_like(beta), -beta)


def skip(x, x_skip, x0, w, theta):
    return x + torch.sigmoid(theta) * 2 * gate(x0, w) * x_skip


def smear(e, w, lam):
    """s = (1 + G) e, where G has each token's gate left of the diagonal."""
    tokens = e.shape[0]
    previous = torch.eye(tokens, dtype=e.dtype).roll(-1, dims=1)
    previous[0] = 0
    return (torch.eye(tokens, dtype=e.dtype) + lam * gate(e, w) * previous) @ e


def rms(x):
    return x * (x.square().mean(dim=-1, keepdim=True) + 2.0**-23).rsqrt()


def mix_norm(x, x0, rho, lam):
    mixed = residual_mix(x, x0, rho, lam)
    return mixed, rms(mixed)


def skip_mix_norm(x, x0, rho, lam, x_skip, w, theta):
    return mix_norm(skip(x, x_skip, x0, w, theta), x0, rho, lam)


def backout_norm(x, x_back, beta):
    return (rms(backout(x, x_back, beta)),)


def output_gate(y, a, w):
    return torch.einsum("thd,th->thd", y, gate(a, w))


def value_mix(v, ve, a, w):
    return v + torch.einsum("thd,th->thd", ve.reshape(v.shape), 2 * gate(a, w))


def embedding(tokens, table):
    return torch.nn.functional.one_hot(tokens, table.shape[0]).to(table.dtype) @ table


def linear(x, w):
    return torch.einsum("tk,nk->tn", x, w)


def lambda_linear(a, w, lam):
    return torch.einsum("tk,nk,i->tn", a, w, lam)


def mlp(a, c_fc, c_proj):
    return torch.einsum("tf,fc->tc", relu_squared(linear(a, c_fc)), c_proj)
