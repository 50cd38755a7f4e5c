"""Cases of head, loss, block and model (model.py) for oracle.py."""

import numpy as np
import torch

import mathematics as m
import model
from golden_schema import Case

RECORD_LAYERS = "P1,s2,P,L,s,P,n,s,s0,P1,L2"


def normal(random, *shape):
    """About standard normal, every value a bf16."""
    return m.bf16(random.standard_normal(shape))


def lambdas(random, *shape):
    return (random.choice([-1, 1], shape) * random.uniform(0.25, 1.5, shape)).astype(np.float32)


def leaf(array):
    return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)


def finish(case, total, leaves, outputs):
    """Outputs as (tensor, dtype); gradients of `total` by autograd, zero where nothing is reached."""
    grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    case.outputs = {name: (y.detach().reshape(-1).numpy() if y.ndim == 0 else y.detach().numpy(), dtype)
                    for name, (y, dtype) in outputs.items()}
    case.grads = {name: (np.zeros(x.shape) if g is None else g.numpy(), case.inputs[name][1])
                  for (name, x), g in zip(leaves.items(), grads)}
    return case


def head_fp8_case(component, seed, T, C, V, weight, gradient, validation):
    random = np.random.default_rng(seed)
    inputs = {"x": (m.bf16(2 * normal(random, T, C)), "bf16"), "lm_head": (m.bf16(weight * normal(random, V, C)), "bf16"),
              "grad_z": (m.bf16(gradient * normal(random, T, V)), "bf16")}
    case = Case(component, seed, dict(T=T, C=C, V=V, validation=validation), inputs)
    leaves = {name: leaf(inputs[name][0]) for name in ("x", "lm_head")}
    z = (model.trunk.linear if validation else model.fp8_logits)(*leaves.values())
    grad_z = torch.tensor(inputs["grad_z"][0]).double()
    return finish(case, (z * grad_z).sum(), leaves, {"z": (z, "bf16")})


def softcap_case(component, seed, T, V, scale):
    random = np.random.default_rng(seed)
    case = Case(component, seed, dict(T=T, V=V), {"z": (m.bf16(scale * normal(random, T, V)), "bf16"),
                                                  "grad_l": (normal(random, T, V), "bf16")})
    z = leaf(case.inputs["z"][0])
    l = model.softcap(z)
    return finish(case, (l * torch.tensor(case.inputs["grad_l"][0]).double()).sum(), {"z": z}, {"l": (l, "bf16")})


def mtp_weights(random, horizons):
    return np.concatenate([[1], random.uniform(0.1, 0.6, horizons - 1)]).astype(np.float32)


def softcap_loss_case(component, seed, T, V, horizons, validation):
    random = np.random.default_rng(seed)
    inputs = {"z": (m.bf16(4 * normal(random, T, V)), "bf16"),
              "targets": (random.integers(0, V, T).astype(np.int32), "int32"),
              "mtp_weights": (mtp_weights(random, horizons), "fp32"),
              "grad_loss": (np.array([0.125], np.float32), "fp32")}
    case = Case(component, seed, dict(T=T, V=V, horizons=horizons, validation=validation), inputs)
    z = leaf(inputs["z"][0])
    weights = inputs["mtp_weights"][0].astype(np.float64)
    value = model.loss(z, torch.from_numpy(inputs["targets"][0]).long(), weights, validation)
    return finish(case, 0.125 * value, {"z": z},
                  {"loss": (value, "fp32"), "logsumexp": (torch.logsumexp(model.softcap(z), 1), "fp32")})


def softcap_loss_fp8_case(component, seed, T, V, horizons):
    """softcap_loss, and its gradient as the fp8 head takes it, in both layouts."""
    case = softcap_loss_case(component, seed, T, V, horizons, 0)
    codes = model.gradient_codes(torch.tensor(m.bf16(case.grads["z"][0]))).numpy()
    case.outputs |= {"codes": (codes, "e5m2"), "codes_transposed": (np.ascontiguousarray(codes.T), "e5m2")}
    return case


def rotary_inputs(D, yarn):
    frequency, kappa = m.start_frequency(D), 0.1
    if yarn:
        frequency, kappa = m.yarn_update(frequency, kappa, 3, 7, 4)
    return {"frequency": (frequency, "fp32"), "softmax_scale": (np.array([kappa]), "fp64")}


def cu_seqlens(documents):
    return np.cumsum([0] + documents).astype(np.int32), "int32"


def block_case(component, seed, layer, documents, H, D, F, window, pairing, yarn):
    T, C = sum(documents), H * D
    random = np.random.default_rng(seed)
    parameters = dict(T=T, documents=documents, H=H, D=D, F=F, layer=layer, pairing=pairing,
                      short_window=window, yarn=yarn)
    inputs = {name: (normal(random, T, C), "bf16") for name in ("x", "x0", "x_skip", "ve", "grad_out")}
    inputs["qkvo"] = (m.bf16(normal(random, 4 * C, C) / 8), "bf16")
    inputs |= {name: (m.bf16(normal(random, F, C) / 8), "bf16") for name in ("c_fc", "c_proj")}
    inputs |= {name: (normal(random, H, 12), "bf16") for name in ("attn_gate", "ve_gate")}
    inputs["skip_gate"] = (normal(random, 1, 12), "bf16")
    inputs["lambdas"] = (lambdas(random, 5), "fp32")
    case = Case(component, seed, parameters,
                inputs | rotary_inputs(D, yarn) | {"cu_seqlens": cu_seqlens(documents),
                                                   "window": (np.array([window], np.int32), "int32")})
    leaves = {name: leaf(value) for name, (value, _) in inputs.items() if name != "grad_out"}
    w = dict(leaves, gate=leaves["attn_gate"], value_gate=leaves["ve_gate"])
    w |= dict(zip(("rho", "lam", "alpha", "omega", "theta"), leaves["lambdas"]))
    factors = [[torch.from_numpy(f).double() for f in m.rotary_table(case.inputs["frequency"][0], T, paired)]
               for paired in (False, True)]
    out = model.block(layer, leaves["x"], leaves["x0"], leaves["x_skip"], leaves["ve"], w, factors, H, window,
                      case.inputs["softmax_scale"][0][0], documents, pairing)
    grad_out = torch.tensor(inputs["grad_out"][0]).double()
    return finish(case, (out * grad_out).sum(), leaves, {"out": (out, "bf16")})


def parameter_shapes(words, H, D, F, V):
    """Families stacked, in SPEC's order, with the size that the case gives their normal values."""
    C, depth = H * D, len(words)
    attention = sum(word[0] != "n" for word in words)
    gated = sum(len(word) == 2 for word in words)
    matrix, table = C**-0.5, 0.5
    return {"qkvo": ((attention, 4 * C, C), matrix), "c_fc": ((depth, F, C), matrix),
            "c_proj": ((depth, F, C), matrix), "lm_head": ((V, C), table), "embed": ((V, C), table),
            "value_embed": ((3, V, C), table), "smear_gate": ((1, 12), table), "skip_gate": ((1, 12), table),
            "attn_gate_bank": ((attention, H, 12), table), "ve_gate_bank": ((gated, H, 12), table),
            "x0_lambdas": ((depth,), None), "scalars": ((3 * depth + 3,), None)}


def model_case(component, seed, layers, documents, H, D, F, V, windows, skip, backout, pairing, yarn, split, horizons,
               validation, head="bf16"):
    T, words = sum(documents), layers.split(",")
    random = np.random.default_rng(seed)
    parameters = dict(T=T, documents=documents, H=H, D=D, F=F, V=V, layers=layers, skip=list(skip), backout=backout,
                      pairing=pairing, short_window=windows[0], long_window=windows[1], yarn=yarn, split=split,
                      horizons=horizons, validation=validation, head=head)
    weights = {name: (lambdas(random, *shape), "fp32") if size is None
               else (m.bf16(size * normal(random, *shape)), "bf16")
               for name, (shape, size) in parameter_shapes(words, H, D, F, V).items()}
    case = Case(component, seed, parameters, weights | rotary_inputs(D, yarn) | {
        "tokens": (random.integers(0, V, T).astype(np.int32), "int32"),
        "targets": (random.integers(0, V, T).astype(np.int32), "int32"),
        "mtp_weights": (mtp_weights(random, horizons), "fp32"),
        "grad_loss": (np.array([0.125], np.float32), "fp32"),
        "cu_seqlens": cu_seqlens(documents), "windows": (np.array(windows, np.int32), "int32")})
    leaves = {name: leaf(value) for name, (value, _) in weights.items()}
    tokens, targets = (torch.from_numpy(case.inputs[name][0]).long() for name in ("tokens", "targets"))
    z = model.logits(leaves, words, tokens, documents, windows, case.inputs["frequency"][0],
                     case.inputs["softmax_scale"][0][0], H, skip, backout, pairing, split, head == "fp8")
    value = model.loss(z, targets, case.inputs["mtp_weights"][0].astype(np.float64), validation)
    return finish(case, 0.125 * value, leaves, {"loss": (value, "fp32"), "logits": (z, "bf16")})


def component_cases():
    yield "head_fp8", [head_fp8_case("head_fp8", 590 + i, *setting) for i, setting in enumerate(
        [(16, 16, 16, 0.05, 1e-3, 0), (16, 32, 16, 0.7, 1e-7, 0), (16, 16, 16, 0.5, 1e-3, 1)])]
    yield "softcap", [softcap_case("softcap", 600 + i, *shape) for i, shape in enumerate(
        [(1, 2, 1), (5, 17, 8), (3, 64, 30)])]
    yield "softcap_loss", [softcap_loss_case("softcap_loss", 610 + i, *shape) for i, shape in enumerate(
        [(1, 2, 3, 0), (2, 5, 3, 0), (9, 40, 3, 0), (8, 33, 2, 0), (7, 12, 1, 0), (6, 50, 2, 1)])]
    yield "softcap_loss_fp8", [softcap_loss_fp8_case("softcap_loss_fp8", 617 + i, *shape) for i, shape in enumerate(
        [(5, 7, 3), (16, 16, 2)])]
    yield "block", [block_case("block", 620 + i, *setting) for i, setting in enumerate([
        ("P", [1], 2, 8, 8, 1, "strided", 0), ("P", [2, 0, 3], 2, 8, 8, 3, "strided", 1),
        ("P", [2, 4], 4, 8, 8, 4, "adjacent", 0), ("s", [3, 4], 2, 8, 16, 2, "strided", 1),
        ("L", [1, 6], 2, 8, 8, 5, "strided", 1)])]
    yield "model", [model_case("model", 630 + i, *setting) for i, setting in enumerate([
        ("s0,P", [1], 2, 8, 8, 5, (1, 1), (0, 1), 1, "strided", 0, 0, 1, 0),
        ("P1,L1,n", [3, 0, 5], 2, 8, 8, 12, (2, 4), (0, 2), 1, "strided", 1, 1, 2, 0),
        (RECORD_LAYERS, [4, 7], 2, 8, 8, 15, (3, 6), (3, 6), 7, "strided", 1, 0, 3, 0),
        ("P0,s1", [5, 2], 2, 8, 8, 7, (2, 3), (0, 1), 1, "strided", 0, 1, 1, 1),
        ("P0,n", [2, 3], 2, 8, 8, 16, (2, 3), (0, 1), 1, "strided", 0, 0, 2, 0, "fp8")])]
