"""Cases of the trunk's components (trunk.py) for oracle.py."""

import numpy as np
import torch

import mathematics as m
import trunk
from golden_schema import Case

TOKENS = ("T", "C")
HEADS = ("T", "H", "D")
GATES = ("H", 12)
SCALAR = (1,)

# Component: the function, the axes of its inputs in order, and its outputs.
COMPONENTS = {
    "value_mix": (trunk.value_mix, {"v": HEADS, "ve": TOKENS, "a": TOKENS, "w": GATES}, "mixed"),
    "output_gate": (trunk.output_gate, {"y": HEADS, "a": TOKENS, "w": GATES}, "gated"),
    "rms_norm": (m.qk_norm, {"x": TOKENS}, "y"),
    "linear": (trunk.linear, {"x": ("T", "K"), "w": ("N", "K")}, "y"),
    "lambda_linear": (trunk.lambda_linear, {"a": ("T", "K"), "w": ("N", "K"), "lambda": SCALAR}, "u"),
    "mlp": (trunk.mlp, {"a": TOKENS, "c_fc": ("F", "C"), "c_proj": ("F", "C")}, "out"),
    "relu_squared": (trunk.relu_squared, {"p": TOKENS}, "h"),
    "smear": (trunk.smear, {"e": TOKENS, "w": (1, 12), "lam": SCALAR}, "s"),
    "residual_mix": (trunk.residual_mix, {"x": TOKENS, "x0": TOKENS, "rho": SCALAR, "lam": SCALAR}, "mixed"),
    "skip": (trunk.skip, {"x": TOKENS, "x_skip": TOKENS, "x0": TOKENS, "w": (1, 12), "theta": SCALAR}, "mixed"),
    "backout": (trunk.backout, {"x": TOKENS, "x_back": TOKENS, "beta": SCALAR}, "reduced"),
}

# Extents by component: those of a matrix product, of heads, or of tokens.
SHAPES = {
    "linear": [dict(T=1, K=8, N=8), dict(T=7, K=24, N=16)],
    "mlp": [dict(T=2, C=16, F=8), dict(T=5, C=8, F=24)],
    "heads": [dict(T=1, H=1, D=16), dict(T=3, H=6, D=16)],
    "tokens": [dict(T=1, C=12), dict(T=5, C=14)],
}
FAMILY = {"linear": "linear", "lambda_linear": "linear", "mlp": "mlp", "value_mix": "heads", "output_gate": "heads"}


def normal(random, *shape):
    """About standard normal, every value a bf16."""
    return m.bf16(random.standard_normal(shape))


def float64(array):
    return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)


def differentiate(case, outputs, leaves):
    """Fills case.outputs, and case.grads of `leaves` for the incoming gradients inputs/grad_NAME."""
    total = sum((y * torch.tensor(case.inputs["grad_" + name][0], dtype=torch.float64)).sum()
                for name, y in outputs.items())
    grads = torch.autograd.grad(total, list(leaves.values()))
    case.grads = {name: (g.numpy(), case.inputs[name][1]) for name, g in zip(leaves, grads)}
    case.outputs = {name: (y.detach().numpy(), "bf16") for name, y in outputs.items()}
    return case


def case_of(component, seed, extents):
    function, inputs, output = COMPONENTS[component]
    random = np.random.default_rng(seed)
    extent = {**extents, "C": extents.get("C", extents.get("H", 0) * extents.get("D", 0))}
    case = Case(component, seed, extents, {})
    for name, axes in inputs.items():
        shape = tuple(extent.get(axis, axis) for axis in axes)
        value, dtype = normal(random, *shape), "bf16"
        if axes == SCALAR:
            value, dtype = random.uniform(-1.5, 1.5, 1).astype(np.float32), "fp32"
        case.inputs[name] = (value, dtype)
    leaves = {name: float64(value) for name, (value, _) in case.inputs.items()}
    y = function(*leaves.values())
    case.inputs["grad_" + output] = (normal(random, *y.shape), "bf16")
    return differentiate(case, {output: y}, leaves)


def lookup_case(component, seed, T, C, V):
    """One table for the embedding, three for value embeddings, all read at the same tokens."""
    random = np.random.default_rng(seed)
    names = {"table": "e"} if component == "embedding" else {f"value_embed_{n}": f"ve_{n}" for n in range(3)}
    tokens = random.integers(0, V, T)
    case = Case(component, seed, dict(T=T, C=C, V=V), {"tokens": (tokens.astype(np.int32), "int32")})
    for table, e in names.items():
        case.inputs[table] = (normal(random, V, C), "bf16")
        case.inputs["grad_" + e] = (normal(random, T, C), "bf16")
    leaves = {table: float64(case.inputs[table][0]) for table in names}
    outputs = {e: trunk.embedding(torch.from_numpy(tokens), leaves[table]) for table, e in names.items()}
    return differentiate(case, outputs, leaves)


def component_cases():
    for i, component in enumerate(COMPONENTS):
        shapes = SHAPES[FAMILY.get(component, "tokens")]
        yield component, [case_of(component, 400 + 10 * i + j, shape) for j, shape in enumerate(shapes)]
    for i, component in enumerate(("embedding", "value_embedding")):
        yield component, [lookup_case(component, 520 + 10 * i + j, *shape)
                          for j, shape in enumerate([(11, 12, 5), (3, 12, 8)])]
