#!/usr/bin/env python3
"""Writes golden/oracle/<component>.h5: cases judged by a third formulation of SPEC (mathematics.py, data.py).

    python3 tools/oracle/oracle.py [--out golden/oracle] [--component NAME]...

Inputs come from seeded normals rounded to bf16; gradients are autograd's of sum(output * grad_output).
"""

import argparse
import hashlib
import pathlib

import numpy as np
import torch

import data
import mathematics as m
import model_cases
import optimizer_cases
import training
import trunk_cases
from golden_schema import Case, write_golden

HERE = pathlib.Path(__file__).resolve().parent


def provenance():
    names = ("data.py", "mathematics.py", "trunk.py", "trunk_cases.py", "model.py", "model_cases.py",
             "optimizers.py", "optimizer_cases.py", "training.py", "oracle.py")
    sources = b"".join((HERE / name).read_bytes() for name in names)
    return {
        "created_by": "tools/oracle/oracle.py",
        "script_sha256": hashlib.sha256(sources).hexdigest(),
        "torch_version": str(torch.__version__),
        "numpy_version": np.__version__,
    }


def normal(random, *shape):
    """About standard normal, every value a bf16."""
    return m.bf16(random.standard_normal(shape))


def float64(array, requires_grad=False):
    return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=requires_grad)


def differentiate(case, outputs, leaves):
    """Fills case.outputs from `outputs` and case.grads of `leaves` by autograd.

    The incoming gradient of output NAME is the input grad_NAME; an output without one is not
    differentiated.
    """
    total = sum((y * float64(case.inputs["grad_" + name][0])).sum()
                for name, y in outputs.items() if "grad_" + name in case.inputs)
    grads = torch.autograd.grad(total, list(leaves.values()))
    case.grads = {name: (g.numpy(), "bf16") for name, g in zip(leaves, grads)}
    case.outputs = {name: (y.detach().numpy(), "fp32" if name == "logsumexp" else "bf16")
                    for name, y in outputs.items()}
    return case


def attention_case(component, seed, T, H, D, documents, window, softmax_scale, pairing="none"):
    assert sum(documents) == T
    parameters = dict(T=T, H=H, D=D, documents=documents, window=window,
                      softmax_scale=softmax_scale)
    if pairing != "none":
        parameters["pairing"] = pairing
    random = np.random.default_rng(seed)
    kappa = np.float32(softmax_scale)
    inputs = {name: (normal(random, T, H, D), "bf16") for name in ("q", "k", "v", "grad_y")}
    inputs["cu_seqlens"] = (np.cumsum([0] + documents).astype(np.int32), "int32")
    inputs["window"] = (np.array([window], np.int32), "int32")
    inputs["softmax_scale"] = (np.array([kappa]), "fp32")
    case = Case(component, seed, parameters, inputs)
    leaves = {name: float64(inputs[name][0], requires_grad=True) for name in ("q", "k", "v")}
    y, logsumexp = m.attention(*leaves.values(), float(kappa),
                               m.visibility(T, H, pairing, window, documents))
    return differentiate(case, {"y": y, "logsumexp": logsumexp}, leaves)


def elementwise_case(component, seed, T, H, D, function, name="x", tables=None):
    """One tensor in, one of its shape out; `tables` are further inputs without gradients."""
    random = np.random.default_rng(seed)
    inputs = {name: (normal(random, T, H, D), "bf16"), "grad_y": (normal(random, T, H, D), "bf16")}
    inputs.update({key: (table, "bf16") for key, table in (tables or {}).items()})
    case = Case(component, seed, dict(T=T, H=H, D=D), inputs)
    leaf = float64(inputs[name][0], requires_grad=True)
    y = function(leaf, *(float64(table) for table in (tables or {}).values()))
    return differentiate(case, {"y": y}, {name: leaf})


def tables_of(T, D, paired):
    cosine, sine = m.rotary_table(m.start_frequency(D), T, paired)
    return {"cosine": cosine, "sine": sine}


def rotary_case(component, seed, T, H, D):
    paired = component == "rotary_paired"
    return elementwise_case(component, seed, T, H, D,
                            lambda x, c, s: m.rotary(x, c, s, paired), tables=tables_of(T, D, paired))


def view_case(component, seed, T, H, D, pairing):
    heads, flat = (T, H, D), (2 * T, H // 2, D)
    to_flat = component == "interleave"
    name, result = ("x", "flat") if to_flat else ("flat", "x")
    random = np.random.default_rng(seed)
    inputs = {name: (normal(random, *(heads if to_flat else flat)), "bf16"),
              "grad_" + result: (normal(random, *(flat if to_flat else heads)), "bf16")}
    case = Case(component, seed, dict(T=T, H=H, D=D, pairing=pairing), inputs)
    leaf = float64(inputs[name][0], requires_grad=True)
    moved = (m.interleave if to_flat else m.deinterleave)(leaf, pairing)
    return differentiate(case, {result: moved}, {name: leaf})


def qk_prepare_case(component, seed, T, H, D, normalise, paired, shift):
    random = np.random.default_rng(seed)
    inputs = {name: (normal(random, T, H, D), "bf16")
              for name in ("q", "k", "grad_q_prepared", "grad_k_prepared")}
    inputs.update({key: (table, "bf16") for key, table in tables_of(T, D, bool(paired)).items()})
    parameters = dict(T=T, H=H, D=D, normalise=normalise, paired=paired, shift=shift)
    case = Case(component, seed, parameters, inputs)
    leaves = {name: float64(inputs[name][0], requires_grad=True) for name in ("q", "k")}
    q, k = m.qk_prepare(*leaves.values(), float64(inputs["cosine"][0]), float64(inputs["sine"][0]),
                        normalise, paired, shift)
    return differentiate(case, {"q_prepared": q, "k_prepared": k}, leaves)


def frequency_after(changes, D):
    frequency, scale = m.start_frequency(D), 0.1
    for old, new in [(3, 7), (7, 11), (11, 13)][:changes]:
        frequency, scale = m.yarn_update(frequency, scale, old, new, 128)
    return frequency, scale


def rotary_table_case(component, seed, T, D, paired, changes):
    frequency, _ = frequency_after(changes, D)
    case = Case(component, seed, dict(T=T, D=D, paired=paired, changes=changes),
                {"frequency": (frequency, "fp32")})
    cosine, sine = m.rotary_table(frequency, T, bool(paired))
    case.outputs = {"cosine": (cosine, "bf16"), "sine": (sine, "bf16")}
    return case


def yarn_update_case(component, seed, D, changes, old_blocks, new_blocks, window_unit):
    frequency, scale = frequency_after(changes, D)
    blocks = dict(old_blocks=old_blocks, new_blocks=new_blocks, window_unit=window_unit)
    inputs = {"frequency": (frequency, "fp32"), "softmax_scale": (np.array([scale]), "fp64")}
    inputs.update({name: (np.array([n], np.int32), "int32") for name, n in blocks.items()})
    case = Case(component, seed, dict(D=D, changes=changes, **blocks), inputs)
    frequency, scale = m.yarn_update(frequency, scale, old_blocks, new_blocks, window_unit)
    case.outputs = {"frequency": (frequency, "fp32"), "softmax_scale": (np.array([scale]), "fp64")}
    return case


def window_schedule_case(component, seed, scheduled, extension):
    steps = np.arange(scheduled + extension + 1, dtype=np.int32)
    windows = np.array([data.window_schedule(int(step), scheduled, extension) for step in steps])
    return Case(component, seed, dict(scheduled=scheduled, extension=extension),
                {"step": (steps, "int32")},
                outputs={"short_window": (windows[:, 0], "int32"), "long_window": (windows[:, 1], "int32")})


def random_tokens(seed, count, mean_document):
    """Documents that start with BOS = 50256 at random, the first at 0."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, 50256, count)
    tokens[random.integers(0, mean_document, count) == 0] = 50256
    tokens[0] = 50256
    return tokens.astype(np.uint16)


def shard_reader_case(component, seed, count):
    words = data.shard(random_tokens(seed, count, 50))
    return Case(component, seed, dict(tokens=count), {"file": (words, "uint16")},
                outputs={"tokens": (data.read_shard(words), "uint16")})


def document_packer_case(component, seed, T, sequences, mean_document, max_document):
    tokens = random_tokens(seed, 40 * T * sequences, mean_document)
    packed = list(data.pack(tokens, 50256, T, max_document, sequences))
    joined = {name: np.concatenate(parts)
              for name, parts in zip(("inputs", "targets", "cu_seqlens"), zip(*packed))}
    parameters = dict(T=T, sequences=sequences, mean_document=mean_document, max_document=max_document)
    return Case(component, seed, parameters, {"tokens": (tokens, "uint16")},
                outputs={name: (array, "int32") for name, array in joined.items()})


def attention_cases(component):
    shapes = [
        dict(T=1, H=6, D=16, documents=[1], window=1, softmax_scale=0.1),
        dict(T=3, H=2, D=16, documents=[3], window=2, softmax_scale=0.1),  # SPEC 4
        dict(T=17, H=6, D=16, documents=[0, 15, 0, 2, 0], window=3, softmax_scale=0.1),
        dict(T=20, H=6, D=24, documents=[6, 14], window=8, softmax_scale=0.116945957),
        dict(T=30, H=4, D=16, documents=[30], window=5000, softmax_scale=0.127517524),
        dict(T=70, H=2, D=16, documents=[69, 1], window=128, softmax_scale=0.131777988),
        dict(T=5, H=6, D=128, documents=[1, 4], window=4, softmax_scale=0.1),
    ]
    pairings = ["strided", "adjacent"] if component == "attention_paired" else ["none"]
    # With two heads both pairings are one.
    return [attention_case(component, 100 + i, pairing=pairing, **shape)
            for i, shape in enumerate(shapes) for pairing in pairings
            if pairing != "adjacent" or shape["H"] != 2]


def component_cases():
    yield "interleave", [view_case("interleave", 200 + i, *shape) for i, shape in enumerate(
        [(1, 2, 16, "strided"), (4, 6, 16, "strided"), (4, 6, 16, "adjacent")])]
    yield "deinterleave", [view_case("deinterleave", 210 + i, *shape) for i, shape in enumerate(
        [(1, 2, 16, "strided"), (4, 6, 16, "strided"), (4, 6, 16, "adjacent")])]
    yield "rotary_table", [rotary_table_case("rotary_table", 220 + i, *shape) for i, shape in enumerate(
        [(1, 16, 0, 0), (64, 128, 0, 0), (64, 128, 1, 3), (2000, 16, 1, 1)])]
    yield "yarn_update", [yarn_update_case("yarn_update", 230 + i, *shape) for i, shape in enumerate(
        [(128, 0, 3, 7, 128), (128, 1, 7, 11, 128), (128, 2, 11, 13, 128), (16, 0, 3, 7, 4),
         (64, 0, 5, 2, 37)])]
    for component in ("rotary_plain", "rotary_paired"):
        yield component, [rotary_case(component, 240 + i, *shape) for i, shape in enumerate(
            [(1, 6, 16), (9, 6, 32), (3, 4, 128)])]
    yield "qk_norm", [elementwise_case("qk_norm", 250 + i, *shape, m.qk_norm) for i, shape in enumerate(
        [(1, 1, 16), (5, 6, 24), (2, 6, 128)])]
    yield "key_shift", [elementwise_case("key_shift", 260 + i, *shape, m.key_shift, name="k")
                        for i, shape in enumerate([(1, 1, 16), (2, 6, 24), (9, 2, 128)])]
    yield "qk_prepare", [qk_prepare_case("qk_prepare", 270 + bits, 7, 6, 16, bits & 1, bits >> 1 & 1,
                                         bits >> 2) for bits in range(8)]
    for component in ("attention_plain", "attention_paired"):
        yield component, attention_cases(component)
    yield "window_schedule", [window_schedule_case("window_schedule", 280 + i, *lengths)
                              for i, lengths in enumerate([(1735, 40), (300, 8), (4, 1)])]
    yield "shard_reader", [shard_reader_case("shard_reader", 290 + i, count)
                           for i, count in enumerate([1, 500])]
    yield "document_packer", [document_packer_case("document_packer", 300 + i, *setting)
                              for i, setting in enumerate([(1, 3, 5, 2), (16, 4, 9, 7), (64, 2, 70, 2048)])]
    yield from trunk_cases.component_cases()
    yield from model_cases.component_cases()
    yield from optimizer_cases.component_cases()
    yield from training.component_cases()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "golden" / "oracle")
    parser.add_argument("--component", action="append", help="only this one (repeatable)")
    arguments = parser.parse_args()
    directory = arguments.out
    directory.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for component, cases in component_cases():
        if arguments.component and component not in arguments.component:
            continue
        path = directory / f"{component}.h5"
        write_golden(path, "oracle", cases, provenance())
        print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
