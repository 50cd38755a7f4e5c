#!/usr/bin/env python3
"""Writes golden/record/<component>.h5: tensors that came out of the record's own program.

    python3 tools/oracle/record.py [--record ../shared/record] [--out golden/record]

The program ran in float64 with parts that are not components of their own around attention (QKV
product, gates, output product). What lies between a stored tensor and a component's argument is undone
here in float64 NumPy:

  q, k before the norm    the QKV product of the stored x and weights (SPEC 3.6.1)
  gradient of y           the stored gradient of the output through the output product and the gate
                          (SPEC 3.6.7, 3.6.8)
  gradients of q, k       solved from the stored gradient of the QKV weights, grad_w = alpha * grad_q^T a,
                          where all of it is stored (T <= C and a of full rank)

Where the record stored no gradient, the incoming gradient is zero and the case has outputs only. A case with
attribute `tokens_kept` holds the first documents only; nothing later reaches into them.
"""

import argparse
import hashlib
import pathlib

import h5py
import numpy as np

from golden_schema import Case, write_golden

HERE = pathlib.Path(__file__).resolve().parent
BLOCKS = (3, 7, 11, 13)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def fp64(array):
    return np.ascontiguousarray(array, dtype=np.float64), "fp64"


def int32(*values):
    return np.array(values, np.int32), "int32"


class Layer:
    """One group of attention_paired.h5 with what its attention was surrounded by."""

    def __init__(self, file, name):
        self.name, group = name, file[name]
        self.T, self.H, self.D, self.window = (int(group.attrs[a]) for a in ("T", "H", "D", "window"))
        self.documents = [int(n) for n in group.attrs["docs"]]
        self.seed, self.softmax_scale = int(group.attrs["seed"]), float(group.attrs["attn_scale"])
        self.inputs = {k: v[...] for k, v in group["in"].items()}
        self.results = {k: v[...] for k, v in group["eps_f32"].items()}
        self.a = self.inputs["x"]  # the stored x is what attention is given: SPEC's a

    def heads(self, name):
        """A stored [2T, H/2, D] as [T, H, D]: the same memory (SPEC 3.7)."""
        return self.results[name].reshape(self.T, self.H, self.D)

    def grads(self, names):
        """Stored gradients of what attention was given, by name; those that are stored."""
        return {name: self.heads("g_fa_" + name) for name in names if "g_fa_" + name in self.results}

    def projected(self, part):
        """q (0) or k (1) before the norm, [T, H, D]."""
        width = self.H * self.D
        weight = self.inputs["sa_lambdas"][0] * self.inputs["qkvo_w"][part * width:(part + 1) * width]
        return (self.a @ weight.T).reshape(self.T, self.H, self.D)

    def grad_projected(self, part):
        """Gradient of projected(part), [T, H, D]; None where too little is stored."""
        width = self.H * self.D
        if "g_qkvo_w" not in self.results or self.T > self.a.shape[1]:
            return None
        grad = self.results["g_qkvo_w"][part * width:(part + 1) * width] / self.inputs["sa_lambdas"][0]
        solved, *_ = np.linalg.lstsq(self.a.T, grad.T, rcond=None)
        return solved.reshape(self.T, self.H, self.D)

    def grad_y(self):
        """Gradient of the attention output before the gate, [T, H, D]."""
        width = self.H * self.D
        weight = self.inputs["sa_lambdas"][1] * self.inputs["qkvo_w"][3 * width:]
        gate = sigmoid(self.a[:, :12] @ self.inputs["attn_gate_w"].T)
        return (self.inputs["grad_out"] @ weight).reshape(self.T, self.H, self.D) * gate[:, :, None]


def kept(layer, documents):
    """The number of tokens in the first documents, and the attribute that says so."""
    tokens = sum(layer.documents[:documents])
    return tokens, ({} if tokens == layer.T else {"tokens_kept": f"{tokens} of {layer.T}"})


def attention_paired(layer, documents):
    T, attributes = kept(layer, documents)
    lengths = layer.documents[:documents]
    parameters = dict(T=T, H=layer.H, D=layer.D, documents=lengths, window=layer.window,
                      pairing="strided", softmax_scale=layer.softmax_scale)
    inputs = {name: fp64(layer.heads("fa_" + name)[:T]) for name in ("q", "k", "v")}
    inputs |= {"grad_y": fp64(layer.grad_y()[:T]), "cu_seqlens": int32(0, *np.cumsum(lengths)),
               "window": int32(layer.window), "softmax_scale": fp64([layer.softmax_scale])}
    return Case("attention_paired", layer.seed, parameters, inputs,
                outputs={"y": fp64(layer.heads("fa_out")[:T])},
                grads={name: fp64(g[:T]) for name, g in layer.grads("qkv").items()},
                name=f"record_{layer.name}", attributes=attributes)


def qk_prepare(layer, documents):
    T, attributes = kept(layer, documents)
    parameters = dict(T=T, H=layer.H, D=layer.D, normalise=1, paired=1, shift=0)
    inputs = {name: fp64(layer.projected(part)[:T]) for part, name in enumerate("qk")}
    incoming = layer.grads("qk") or {name: np.zeros((layer.T, layer.H, layer.D)) for name in "qk"}
    inputs |= {f"grad_{name}_prepared": fp64(g[:T]) for name, g in incoming.items()}
    inputs |= {name: fp64(layer.inputs[factor][:T])
               for name, factor in (("cosine", "factor1"), ("sine", "factor2"))}
    grads = {name: layer.grad_projected(part) for part, name in enumerate("qk")}
    return Case("qk_prepare", layer.seed, parameters, inputs,
                outputs={f"{name}_prepared": fp64(layer.heads("fa_" + name)[:T]) for name in "qk"},
                grads={name: fp64(g[:T]) for name, g in grads.items() if g is not None},
                name=f"record_{layer.name}", attributes=attributes)


def rotary(file, kind, stage, T):
    """Rotation of random tensors by unrounded tables, the first T tokens."""
    paired = kind == "paired"
    D, group = 128, file[f"f64/{kind}/stage{stage}"]
    assert np.array_equal(file["row_index"][:T], np.arange(T))
    heads = lambda x: x[:T].reshape(T, -1, D)
    x, y = heads(file[f"apply_in/{kind}_x"][...]), heads(group["rotated"][...])
    component = "rotary_paired" if paired else "rotary_plain"
    inputs = {"x": fp64(x), "cosine": fp64(group["factor1"][:T]), "sine": fp64(group["factor2"][:T]),
              "grad_y": fp64(np.zeros_like(x))}
    return Case(component, stage, dict(T=T, H=x.shape[1], D=D), inputs, outputs={"y": fp64(y)},
                name=f"record_stage{stage}")


def bf16_of(bits):
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32), "bf16"


def rotary_table(file, kind, stage, T):
    """The first T rows from the record's own fp32 frequencies."""
    group = file[f"rec/{kind}/stage{stage}"]
    frequency = group["angular_freq"][...].astype(np.float32)
    parameters = dict(T=T, D=len(frequency), paired=int(kind == "paired"), changes=stage)
    return Case("rotary_table", stage, parameters, {"frequency": (frequency, "fp32")},
                outputs={"cosine": bf16_of(group["factor1_bits"][:T]),
                         "sine": bf16_of(group["factor2_bits"][:T])},
                name=f"record_{kind}_stage{stage}")


def rotary_table_far(file, stage, first, second):
    """Two far positions p: at position 1 of a table whose frequencies are the record's fp32 angles
    p * f. The two fill the rotating and the stationary half of the channels."""
    group, rows = file[f"rec/yarn/stage{stage}"], file["row_index"][...]
    picked = [int(np.flatnonzero(rows == p)[0]) for p in (first, second)]
    base = group["angular_freq"][...].astype(np.float32)[:64:2]
    for p, i in zip((first, second), picked):
        assert np.array_equal(np.float32(p) * base, group["f32_theta"][i]), "theta is an fp32 product"
    frequency = np.concatenate([np.repeat(group["f32_theta"][i], 2) for i in picked])
    row = lambda name: np.concatenate([group[name][i, :64] for i in picked])
    cosine = np.stack([np.full(128, 0x3F80), row("factor1_bits")])
    sine = np.stack([np.where(np.arange(128) % 2, 0x8000, 0), row("factor2_bits")])
    return Case("rotary_table", stage, dict(T=2, D=128, paired=0, changes=stage),
                {"frequency": (frequency, "fp32")},
                outputs={"cosine": bf16_of(cosine), "sine": bf16_of(sine)},
                name=f"record_far_stage{stage}_{first}_{second}")


def yarn_update(file, kind, stage):
    """From stage to stage + 1 of the record's fp32 chain; its kappa is a double."""
    old, new = (file[f"rec/{kind}/stage{s}"] for s in (stage, stage + 1))
    blocks = dict(old_blocks=BLOCKS[stage], new_blocks=BLOCKS[stage + 1], window_unit=128)
    frequency = lambda group: (group["angular_freq"][...].astype(np.float32), "fp32")
    scale = lambda group: fp64([group.attrs["attn_scale"]])
    inputs = {"frequency": frequency(old), "softmax_scale": scale(old)}
    inputs |= {name: int32(n) for name, n in blocks.items()}
    return Case("yarn_update", stage, dict(D=128, changes=stage, **blocks), inputs,
                outputs={"frequency": frequency(new), "softmax_scale": scale(new)},
                name=f"record_{kind}_stage{stage}")


def window_schedule(file):
    """Every step of the run. The last is the final validation, for which the record widens the long
    window apart from its schedule."""
    short, long = file["ws_short"][...], file["ws_long"][...]
    short[-1], long[-1] = file.attrs["final_validation_ws_short_long"]
    unit = int(file.attrs["block_size"])
    scheduled = int(file.attrs["num_scheduled"])
    parameters = dict(scheduled=scheduled, extension=len(long) - 1 - scheduled)
    return Case("window_schedule", 0, parameters, {"step": (np.arange(len(long)), "int32")},
                outputs={"short_window": (unit * short, "int32"), "long_window": (unit * long, "int32")},
                name="record_run")


def schedule(file, component, output, path, parameters):
    """Every training step of the run; what its own schedule says of one step."""
    values = file[path][...]
    assert len(values) == 1776
    trained = np.isfinite(values)
    assert trained[:-1].all()
    steps = np.arange(int(trained.sum()))
    return Case(component, 0, parameters, {"step": (steps, "int32")},
                outputs={output: fp64(values[trained])}, name="record_run")


def component_cases(directory):
    with h5py.File(directory / "attention_paired.h5") as file:
        layers = {name: Layer(file, name) for name in file}
    first_documents = {"case00": 1, "case01": 3, "case02": 4, "case03": 2, "case05": 3, "case06": 2,
                       "case07": 2, "case08": 5, "case11_yarn37": 3, "case12_big": 2}
    yield "attention_paired", [attention_paired(layers[name], n) for name, n in first_documents.items()]
    yield "qk_prepare", [qk_prepare(layers[name], n) for name, n in first_documents.items()
                         if name in ("case00", "case01", "case02", "case03", "case12_big")]
    with h5py.File(directory / "rotary.h5") as file:
        yield "rotary_plain", [rotary(file, "yarn", stage, 5) for stage in (0, 3)]
        yield "rotary_paired", [rotary(file, "paired", stage, 4) for stage in (0, 3)]
        far = [(4095, 8191), (16384, 32767), (49151, 65535), (98304, 131071)]
        yield "rotary_table", (
            [rotary_table(file, kind, stage, 20) for kind in ("yarn", "paired") for stage in range(4)]
            + [rotary_table_far(file, stage, *rows) for stage in (0, 3) for rows in far])
        yield "yarn_update", [yarn_update(file, kind, stage)
                              for kind in ("yarn", "paired") for stage in range(3)]
    with h5py.File(directory / "schedule.h5") as file:
        yield "window_schedule", [window_schedule(file)]
        lengths = dict(scheduled=1735, extension=40)
        yield "learning_rate", [schedule(file, "learning_rate", "factor", "lr_multiplier", lengths)]
        yield "momentum_schedule", [schedule(file, "momentum_schedule", "momentum", "muon_momentum",
                                             dict(warm_up=300, cool_down=50, **lengths))]


def provenance(directory):
    sources = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(directory.glob("*.h5"))}
    return {"created_by": "tools/oracle/record.py",
            "script_sha256": hashlib.sha256((HERE / "record.py").read_bytes()).hexdigest(),
            "record_sha256": " ".join(f"{name}={digest}" for name, digest in sources.items()),
            "program": "modded-nanogpt train_gpt.py, Paired Head Attention record (2026-01-07), float64 on CPU"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=pathlib.Path, default=HERE.parents[2] / "shared" / "record")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "golden" / "record")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    attributes = provenance(arguments.record)
    for component, cases in component_cases(arguments.record):
        path = arguments.out / f"{component}.h5"
        write_golden(path, "record", cases, attributes)
        print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
