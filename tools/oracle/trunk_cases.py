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

# Fused kernels: the function, its inputs, and its outputs.
MIX = {"x": TOKENS, "x0": TOKENS, "rho": SCALAR, "lam": SCALAR}
FUSED = {
    "mix_norm": (trunk.mix_norm, MIX, ("mixed", "a")),
    "skip_mix_norm": (trunk.skip_mix_norm, {**MIX, "x_skip": TOKENS, "w": (1, 12), "theta": SCALAR}, ("mixed", "a")),
    "backout_norm": (trunk.backout_norm, {"x": TOKENS, "x_back": TOKENS, "beta": SCALAR}, ("y",)),
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


def differentiate(case, outputs, leaves, more=0):
    """Fills case.outputs, and case.grads of `leaves` for the incoming gradients inputs/grad_NAME and of `more`."""
    total = more + sum((y * torch.tensor(case.inputs["grad_" + name][0], dtype=torch.float64)).sum()
                       for name, y in outputs.items())
    grads = torch.autograd.grad(total, list(leaves.values()))
    case.grads = {name: (g.numpy(), case.inputs[name][1]) for name, g in zip(leaves, grads)}
    case.outputs = {name: (y.detach().numpy(), "bf16") for name, y in outputs.items()}
    return case


def draw_inputs(case, random, inputs, extent):
    for name, axes in inputs.items():
        shape = tuple(extent.get(axis, axis) for axis in axes)
        value, dtype = normal(random, *shape), "bf16"
        if axes == SCALAR:
            value, dtype = random.uniform(-1.5, 1.5, 1).astype(np.float32), "fp32"
        case.inputs[name] = (value, dtype)
    return {name: float64(value) for name, (value, _) in case.inputs.items()}


def case_of(component, seed, extents):
    function, inputs, output = COMPONENTS[component]
    random = np.random.default_rng(seed)
    extent = {**extents, "C": extents.get("C", extents.get("H", 0) * extents.get("D", 0))}
    case = Case(component, seed, extents, {})
    leaves = draw_inputs(case, random, inputs, extent)
    y = function(*leaves.values())
    case.inputs["grad_" + output] = (normal(random, *y.shape), "bf16")
    return differentiate(case, {output: y}, leaves)


def fused_case(component, seed, T, C):
    """What later layers give to x and x0, and the gates to a, is added to the gradients' total by hand."""
    function, inputs, outputs = FUSED[component]
    random = np.random.default_rng(seed)
    case = Case(component, seed, dict(T=T, C=C), {})
    leaves = draw_inputs(case, random, inputs, dict(T=T, C=C))
    results = dict(zip(outputs, function(*leaves.values())))
    for name in outputs:
        case.inputs["grad_" + name] = (normal(random, T, C), "bf16")
    more = 0
    if "a" in results:
        case.parameters.update(gates=1, x_before=1, x0_before=1)
        gates = random.standard_normal((T, trunk.GATE_CHANNELS)).astype(np.float32)
        case.inputs["grad_a_gates"] = (gates, "fp32")
        more = (results["a"][:, : trunk.GATE_CHANNELS] * torch.tensor(gates, dtype=torch.float64)).sum()
        for name in ("x", "x0"):
            before = normal(random, T, C)
            case.inputs[f"grad_{name}_before"] = (before, "bf16")
            more = more + (leaves[name] * torch.tensor(before, dtype=torch.float64)).sum()
    return differentiate(case, results, leaves, more)


def embed_smear_norm_case(component, seed, T, C, V):
    """A tied table: its gradient begins with what the head gives."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, V, T)
    case = Case(component, seed, dict(T=T, C=C, V=V, tied=1), {"tokens": (tokens.astype(np.int32), "int32")})
    case.inputs["table"] = (normal(random, V, C), "bf16")
    case.inputs["w"] = (normal(random, 1, trunk.GATE_CHANNELS), "bf16")
    case.inputs["lam"] = (random.uniform(-1.5, 1.5, 1).astype(np.float32), "fp32")
    leaves = {name: float64(case.inputs[name][0]) for name in ("table", "w", "lam")}
    e = trunk.embedding(torch.from_numpy(tokens), leaves["table"])
    x0 = trunk.rms(trunk.smear(e, leaves["w"], leaves["lam"]))
    case.inputs["grad_x0"] = (normal(random, T, C), "bf16")
    before = normal(random, V, C)
    case.inputs["grad_table_before"] = (before, "bf16")
    more = (leaves["table"] * torch.tensor(before, dtype=torch.float64)).sum()
    return differentiate(case, {"x0": x0}, leaves, more)


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
    for i, component in enumerate(FUSED):
        yield component, [fused_case(component, 540 + i, 3, 13)]
    yield "embed_smear_norm", [embed_smear_norm_case("embed_smear_norm", 550, 7, 12, 4)]
    for i, component in enumerate(("embedding", "value_embedding")):
        yield component, [lookup_case(component, 520 + 10 * i + j, *shape)
                          for j, shape in enumerate([(11, 12, 5), (3, 12, 8)])]
