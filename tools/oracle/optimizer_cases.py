"""Cases of the optimizers, of fp8 and of the schedules (optimizers.py) for oracle.py."""

import numpy as np
import torch

import mathematics as m
import optimizers
from golden_schema import Case


def normal(random, *shape):
    """About standard normal, every value a bf16."""
    return m.bf16(random.standard_normal(shape))


def float64(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def one(value, dtype="fp64"):
    return np.array([value], np.int32 if dtype == "int32" else np.float64), dtype


def quantise_fp8_case(component, seed, n, scale, value, size):
    random = np.random.default_rng(seed)
    x, scale_value = m.bf16(size * random.standard_normal(n)), np.float32(value)
    case = Case(component, seed, dict(n=n, scale=scale, fill="normal"),
                {"x": (x, "bf16"), "scale": one(scale_value, "fp32")})
    e4m3, e5m2 = optimizers.quantise_fp8(x, scale_value)
    case.outputs = {"x_e4m3": (e4m3, "e4m3"), "x_e5m2": (e5m2, "e5m2")}
    return case


def momentum_case(component, seed, n, mu):
    random = np.random.default_rng(seed)
    inputs = {"gradient": (normal(random, n), "bf16"), "momentum": one(np.float32(mu), "fp32"),
              "moment": (random.standard_normal(n).astype(np.float32), "fp32")}
    moment, direction = optimizers.momentum(float64(inputs["gradient"][0]),
                                            float64(inputs["moment"][0]), float(np.float32(mu)))
    return Case(component, seed, dict(n=n, fill="normal"), inputs,
                outputs={"moment": (moment, "fp32"), "direction": (direction, "fp32")})


def polar_normalise_case(component, seed, rows, columns, size):
    random = np.random.default_rng(seed)
    direction = m.bf16(size * random.standard_normal((rows, columns)))
    x = optimizers.polar_normalise(float64(direction))
    return Case(component, seed, dict(rows=rows, columns=columns, fill="normal"),
                {"direction": (direction, "fp32")}, outputs={"x": (x, "bf16")})


def polar_iteration_case(component, seed, rows, columns, iteration, fused):
    random = np.random.default_rng(seed)
    x = m.bf16(0.6 / columns**0.5 * random.standard_normal((rows, columns)))
    after = optimizers.polar_iteration(float64(x), iteration - 1)
    parameters = dict(rows=rows, columns=columns, iteration=iteration, fused=fused)
    return Case(component, seed, parameters, {"x": (x, "bf16")}, outputs={"x_next": (after, "bf16")})


def well_conditioned(random, rows, columns):
    return m.bf16(random.standard_normal((rows, columns))
                  + 4 * max(rows, columns) ** 0.5 * np.eye(rows, columns))


def polar_express_case(component, seed, rows, columns, fused):
    direction = well_conditioned(np.random.default_rng(seed), rows, columns)
    return Case(component, seed, dict(rows=rows, columns=columns, fused=fused),
                {"direction": (direction, "fp32")},
                outputs={"orthogonal": (optimizers.polar_express(float64(direction)), "bf16")})


def second_moment_of(random, rows, columns, start):
    return ((0.1 + random.random(rows)) * (0 if start else 1 / columns)).astype(np.float32)


def variance_reduction_case(component, seed, rows, columns, start):
    random = np.random.default_rng(seed)
    direction = m.bf16(columns**-0.5 * random.standard_normal((rows, columns)))
    second_moment = second_moment_of(random, rows, columns, start)
    update, after = optimizers.variance_reduction(float64(direction), float64(second_moment))
    return Case(component, seed, dict(rows=rows, columns=columns, start=start),
                {"direction": (direction, "bf16"), "second_moment": (second_moment, "fp32")},
                outputs={"update": (update, "bf16"), "second_moment": (after, "fp32")})


def split_parameter(random, *shape):
    """A parameter's two halves."""
    bits = random.integers(0, 2**16, shape, dtype=np.uint16)
    return m.bf16(0.03 * random.standard_normal(shape)), bits


def cautious_split_update_case(component, seed, n, learning_rate, weight_decay):
    random = np.random.default_rng(seed)
    parameter, mantissa = split_parameter(random, n)
    direction = normal(random, n) * (random.integers(0, 8, n) > 0)
    rates = [np.float32(rate) for rate in (learning_rate, weight_decay)]
    inputs = {"parameter": (parameter, "bf16"), "mantissa": (mantissa, "uint16"),
              "direction": (direction, "bf16"), "learning_rate": one(rates[0], "fp32"),
              "weight_decay": one(rates[1], "fp32")}
    high, low = optimizers.cautious_split_update(parameter, mantissa, direction, *rates)
    return Case(component, seed, dict(n=n, fill="normal"), inputs,
                outputs={"parameter": (high, "bf16"), "mantissa": (low, "uint16")})


def adam_step_case(component, seed, n, label, betas, learning_rate, weight_decay, updates):
    random = np.random.default_rng(seed)
    storage = "fp32" if label in ("x0_lambdas", "scalars") else "bf16"
    stored = m.bf16 if storage == "bf16" else lambda x: np.asarray(x, np.float32)
    touched = random.integers(0, 8, n) > 0
    parameter, gradient = (stored(size * random.standard_normal(n)) for size in (0.05, 1e-3))
    first, second = (np.asarray(x, np.float32) for x in
                     (1e-3 * random.standard_normal(n), (1e-3 * random.standard_normal(n)) ** 2))
    gradient, first, second = (x * touched.astype(np.float32) for x in (gradient, first, second))
    inputs = {"parameter": (parameter, storage), "gradient": (gradient, storage),
              "first_moment": (first, "fp32"), "second_moment": (second, "fp32"),
              "beta1": one(betas[0]), "beta2": one(betas[1]), "learning_rate": one(learning_rate),
              "weight_decay": one(weight_decay), "updates": one(updates, "int32")}
    p, first, second = optimizers.adam_step(parameter, gradient, first, second, *betas,
                                            learning_rate, weight_decay, updates)
    return Case(component, seed, dict(n=n, fill="normal", label=label, updates=updates), inputs,
                outputs={"parameter": (stored(p), "fp32"), "first_moment": (first, "fp32"),
                         "second_moment": (second, "fp32")})


def normuon_step_case(component, seed, rows, columns, matrices, start, lr, lr_mul, wd_mul, mu):
    """Stage by stage, each from what the last one stores."""
    random = np.random.default_rng(seed)
    stack = lambda: np.concatenate([well_conditioned(random, rows // matrices, columns)
                                    for _ in range(matrices)])
    gradient, moment, mu = stack(), stack(), np.float32(mu)
    parameter, mantissa = split_parameter(random, rows, columns)
    second_moment = second_moment_of(random, rows, columns, start)
    stored = lambda x: m.bf16(x.numpy())
    new_moment, direction = optimizers.momentum(float64(gradient), float64(moment), float(mu))
    orthogonal = torch.cat([optimizers.polar_express(part)
                            for part in float64(stored(direction)).chunk(matrices)])
    reduced = [optimizers.variance_reduction(*parts)
               for parts in zip(float64(stored(orthogonal)).chunk(matrices),
                                float64(second_moment).chunk(matrices))]
    update, new_second_moment = (torch.cat(parts) for parts in zip(*reduced))
    rates = [np.float32(r) for r in optimizers.normuon_rates(rows, columns, lr, lr_mul, wd_mul)]
    high, low = optimizers.cautious_split_update(parameter, mantissa, stored(update), *rates)
    inputs = {"parameter": (parameter, "bf16"), "mantissa": (mantissa, "uint16"),
              "gradient": (gradient, "bf16"), "moment": (moment, "fp32"),
              "second_moment": (second_moment, "fp32"), "momentum": one(mu, "fp32"),
              "learning_rate": one(lr), "learning_rate_multiplier": one(lr_mul),
              "weight_decay_multiplier": one(wd_mul)}
    return Case(component, seed, dict(rows=rows, columns=columns, matrices=matrices, start=start),
                inputs, outputs={
                    "moment": (new_moment, "fp32"), "direction": (direction, "bf16"),
                    "orthogonal": (orthogonal, "bf16"), "update": (update, "bf16"),
                    "second_moment": (new_second_moment, "fp32"), "parameter": (high, "bf16"),
                    "mantissa": (low, "uint16")})


def learning_rate_case(component, seed, scheduled, extension):
    steps = np.arange(scheduled + extension + 1, dtype=np.int32)
    factors = np.array([optimizers.learning_rate(int(step), scheduled) for step in steps])
    return Case(component, seed, dict(scheduled=scheduled, extension=extension),
                {"step": (steps, "int32")}, outputs={"factor": (factors, "fp64")})


def momentum_schedule_case(component, seed, scheduled, extension, warm_up, cool_down):
    steps = np.arange(scheduled + extension + 1, dtype=np.int32)
    momenta = np.array([optimizers.muon_momentum(int(step), scheduled + extension, warm_up, cool_down)
                        for step in steps])
    parameters = dict(scheduled=scheduled, extension=extension, warm_up=warm_up, cool_down=cool_down)
    return Case(component, seed, parameters, {"step": (steps, "int32")},
                outputs={"momentum": (momenta, "fp64")})


def component_cases():
    def several(component, case, seed, settings):
        return component, [case(component, seed + i, *s) for i, s in enumerate(settings)]
    yield several("quantise_fp8", quantise_fp8_case, 400, [
        (200, "activation", 100 / 448, 3), (200, "weight", 1.6 / 448, 0.02),
        (200, "gradient", 0.75 / 448, 1e-6), (200, "activation", 100 / 448, 300)])
    yield several("polar_normalise", polar_normalise_case, 410,
                  [(1, 2, 1), (8, 8, 1e-3), (12, 5, 1), (5, 12, 100)])
    yield several("polar_iteration", polar_iteration_case, 420, [
        (1, 1, 1, 1), (8, 8, 1, 1), (5, 12, 2, 0), (8, 8, 3, 1), (5, 12, 4, 0), (5, 12, 5, 0)])
    yield several("polar_express", polar_express_case, 430,
                  [(2, 2, 1), (8, 8, 1), (12, 5, 0), (5, 12, 0)])
    yield several("variance_reduction", variance_reduction_case, 440,
                  [(1, 2, 1), (8, 8, 1), (12, 5, 0), (5, 12, 0)])
    yield several("momentum", momentum_case, 450, [(1, 0.85), (100, 0.95), (100, 0.9)])
    yield several("cautious_split_update", cautious_split_update_case, 460, [
        (1, 0.046, 0.0276), (200, 0.046, 0.0276), (200, 0.092 * 1.52, 0.0276 * 1.52),
        (200, 0.0046, 0.00276)])
    yield several("normuon_step", normuon_step_case, 470, [
        (8, 2, 4, 1, 1, 1, 1, 0.85), (24, 6, 4, 0, 1.52, 1, 1, 0.95),
        (24, 6, 1, 0, 0.1, 2, 1, 0.9), (4, 6, 1, 0, 1.73, 1, 0.5, 0.95)])
    yield several("adam_step", adam_step_case, 480, [
        (100, "lm_head", (0.5, 0.95), 0.008, 0.75, 1),
        (100, "value_embed", (0.75, 0.95), 0.6 * 1.52, 0.025, 2),
        (100, "x0_lambdas", (0.65, 0.95), 0.04, 0, 579),
        (100, "attn_gate_bank", (0.9, 0.99), 0.008, 0.005, 887)])
    yield several("learning_rate", learning_rate_case, 490, [(1735, 40), (300, 8), (4, 1)])
    yield several("momentum_schedule", momentum_schedule_case, 500, [
        (1735, 40, 300, 50), (300, 8, 300, 50), (60, 4, 10, 2)])
