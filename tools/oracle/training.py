"""SPEC's training loop in float64, nothing rounded (SPEC 6.5, 7, 8, 10), and its cases for oracle.py.

Out of the functions of the other files; here is what joins them: which tokens, which windows, which gradients
when. One rank. The configuration is reference::micro_config(), the record's layers at C = 16, or its schedule
with a smaller model.
"""

import dataclasses

import numpy as np
import torch

import data
import mathematics as m
import model
import optimizers
from golden_schema import Case
from model_cases import RECORD_LAYERS, parameter_shapes


@dataclasses.dataclass
class Shape:
    layers: str
    skip: tuple
    backout: int
    heads: int
    head_dim: int
    hidden: int
    vocabulary: int

    @property
    def words(self):
        return self.layers.split(",")

    @property
    def bos(self):
        return self.vocabulary - 1

    def parameters(self):
        return parameter_shapes(self.words, self.heads, self.head_dim, self.hidden, self.vocabulary)


MICRO = Shape(RECORD_LAYERS, (3, 6), 7, 2, 8, 32, 64)
MAX_DOCUMENT = 16
SCHEDULED, EXTENSION, WARM_UP, COOL_DOWN, WINDOW_UNIT = 6, 2, 3, 1, 4
LENGTHS, MICRO_BATCHES, SPLIT = (16, 32, 48), 8, 5
NORMUON = {"qkvo": (4, 1), "c_fc": (1, 1), "c_proj": (1, 2)}  # matrices, lr_mul
VALIDATION = (2, 64)  # sequences and their length
WATCHED = ("qkvo.0", "c_fc.5", "c_proj.10", "lm_head", "embed", "value_embed.1", "scalars", "attn_gate_bank")


def phase(step):
    return min(3 * step // SCHEDULED, 2)


def mtp_weights(step):
    thirds = 3 * step / SCHEDULED
    return [[1, 0.5, 0.25 * (1 - thirds)], [1, 0.5 * (2 - thirds)], [1]][phase(step)]


class Training:
    def __init__(self, parameters, tokens, validation_tokens, shape=MICRO):
        self.shape = shape
        self.p = {name: torch.tensor(value, dtype=torch.float64) for name, value in parameters.items()}
        self.validation_tokens = validation_tokens
        self.packer = data.Packer(tokens, shape.bos, MAX_DOCUMENT)
        self.step, self.split = 0, False
        zeros = {name: torch.zeros_like(value) for name, value in self.p.items()}
        self.moment = {name: zeros[name].clone() for name in NORMUON}
        self.second_moment = {name: zeros[name][..., 0].clone() for name in NORMUON}
        self.adam = {name: (zeros[name], zeros[name], 0) for name in optimizers.ADAM if name != "embed"}
        self.pending = {}
        self.blocks, self.frequency, self.kappa = 3, m.start_frequency(shape.head_dim), 0.1

    def begin_step(self):
        """Windows of the step in tokens; a change of the long one updates the rotary once, but for the last's."""
        windows = data.window_schedule(self.step, SCHEDULED, EXTENSION, WINDOW_UNIT)
        blocks = windows[1] // WINDOW_UNIT
        if blocks != self.blocks and self.step < SCHEDULED + EXTENSION:
            self.frequency, self.kappa = m.yarn_update(self.frequency, self.kappa, self.blocks, blocks, WINDOW_UNIT)
            self.blocks = blocks
        return windows

    def loss(self, p, sequence, windows, weights, validation):
        inputs, targets, documents = sequence
        inputs, targets = (torch.from_numpy(np.asarray(x, np.int64)) for x in (inputs, targets))
        shape = self.shape
        z = model.logits(p, shape.words, inputs, documents, windows, self.frequency, self.kappa, shape.heads, shape.skip,
                         shape.backout, "strided", self.split)
        return model.loss(z, targets, weights, validation)

    def step_gradients(self):
        """Of the eight passes of a step, and the objective in nats a token."""
        windows, length = self.begin_step(), LENGTHS[phase(self.step)]
        leaves = {name: value.clone().requires_grad_() for name, value in self.p.items()}
        total = 0
        for _ in range(MICRO_BATCHES):
            total = total + self.loss(leaves, self.packer.next(length), windows, mtp_weights(self.step), False)
        total = total / MICRO_BATCHES
        total.backward()
        gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        return gradients, total.item() / length

    def train_step(self):
        """Returns the objective, in nats a token."""
        gradients, objective = self.step_gradients()
        self.move_normuon(gradients)
        for name in gradients.keys() & self.adam.keys():
            self.pending[name] = self.pending.get(name, 0) + gradients[name]
        if self.step % 2 == 1:
            self.move_adam()
        if self.step == SPLIT:
            self.split = True
            self.p["embed"], self.adam["embed"] = self.p["lm_head"].clone(), self.adam["lm_head"]
        self.step += 1
        return objective

    def move_normuon(self, gradients):
        lr = optimizers.learning_rate(self.step, SCHEDULED)
        mu = optimizers.muon_momentum(self.step, SCHEDULED + EXTENSION, WARM_UP, COOL_DOWN)
        for name, (matrices, lr_mul) in NORMUON.items():
            rates = optimizers.normuon_rates(*self.p[name].shape[1:], lr, lr_mul, 1)
            layers = zip(self.p[name], gradients[name], self.moment[name], self.second_moment[name])
            moved = [optimizers.normuon_update(*layer, matrices, mu, *rates) for layer in layers]
            self.p[name], self.moment[name], self.second_moment[name] = (torch.stack(parts) for parts in zip(*moved))

    def move_adam(self):
        lr = optimizers.learning_rate(self.step, SCHEDULED)
        for name, gradient in self.pending.items():
            betas, lr_mul, wd_mul = optimizers.ADAM[name]
            first, second, updates = self.adam[name]
            self.p[name], first, second = optimizers.adam_update(
                self.p[name], gradient, first, second, *betas, *optimizers.adam_rates(lr, lr_mul, wd_mul), updates + 1,
                number=optimizers.double)
            self.adam[name] = first, second, updates + 1
        self.pending = {}

    def validate(self):
        windows, (sequences, length) = self.begin_step(), VALIDATION
        losses = [self.loss(self.p, data.validation_sequence(self.validation_tokens, self.shape.bos, i * length, length), windows,
                            [1], True).item() for i in range(sequences)]
        return sum(losses) / sequences

    def norm(self, name):
        family, _, layer = name.partition(".")
        return torch.linalg.vector_norm(self.p[family][int(layer)] if layer else self.p[family]).item()


def few_bits(random, shape, size):
    return (random.integers(-8, 9, shape) / size).astype(np.float32)


def text(random, count, bos=MICRO.bos):
    """Documents of 1 to 20 tokens."""
    tokens = random.integers(0, bos, count)
    tokens[np.concatenate([[0], np.cumsum(random.integers(1, 21, count))[:-1]]).clip(max=count - 1)] = bos
    return tokens.astype(np.uint16)


def random_parameters(random, shape):
    """Few bits each; embed, not read before the split, zero. Arrays and their dtypes by name."""
    parameters = {}
    for name, (extents, size) in shape.parameters().items():
        if size is None:
            value = random.choice([-1, 1], extents) * random.integers(4, 25, extents) / 16
        else:
            value = few_bits(random, extents, 32 if name in NORMUON else 16) * (name != "embed")
        parameters[name] = value.astype(np.float32), "fp32" if size is None else "bf16"
    return parameters


def train_trajectory_case(component, seed, steps):
    random = np.random.default_rng(seed)
    parameters = random_parameters(random, MICRO)
    tokens, validation_tokens = text(random, 5000), text(random, VALIDATION[0] * VALIDATION[1] + 2)
    training = Training({name: value for name, (value, _) in parameters.items()}, tokens, validation_tokens)
    losses = [training.train_step() for _ in range(steps)]
    single = lambda values: (np.array(values, np.float32), "fp32")
    return Case(component, seed, dict(ranks=1, steps=steps),
                parameters | {"tokens": (tokens, "uint16"), "validation_tokens": (validation_tokens, "uint16")},
                outputs={"loss": single(losses), "norm": single([training.norm(name) for name in WATCHED]),
                         "validation_loss": single([training.validate()])})


def state_before(random, shape):
    """What the optimizers keep before an odd step that comes before the split."""
    state = {}
    for name, (extents, _) in shape.parameters().items():
        if name in NORMUON:
            diagonal = 4 * max(extents[1] // NORMUON[name][0], extents[2])**0.5 * np.eye(extents[1] // NORMUON[name][0], extents[2])
            moment = np.tile(diagonal, (NORMUON[name][0], 1)) + random.standard_normal(extents)
            state |= {"moment_" + name: (moment.astype(np.float32), "fp32"),
                      "second_moment_" + name: ((random.integers(1, 17, extents[:-1]) / 256).astype(np.float32), "fp32"),
                      "mantissa_" + name: (random.integers(0, 1 << 16, extents).astype(np.uint16), "uint16")}
        else:
            least = {"first_moment_": -16, "second_moment_": 1, "pending_": -16}
            state |= {kind + name: ((random.integers(low, 17, extents) / 64 * (name != "embed")).astype(np.float32), "fp32")
                      for kind, low in least.items()}
    return state


def normuon_outputs(name, before, gradient, step):
    """The moment is stored in fp32, and what follows is made of that; the direction in bf16."""
    mu = optimizers.muon_momentum(step, SCHEDULED + EXTENSION, WARM_UP, COOL_DOWN)
    (parameter, start, second_moment, mantissa) = (before[kind + name][0] for kind in ("", "moment_", "second_moment_", "mantissa_"))
    start = torch.tensor(start, dtype=torch.float64)
    moment = optimizers.momentum(gradient, start, mu)[0].to(torch.float32)
    matrices, lr_mul = NORMUON[name]
    rates = optimizers.normuon_rates(*parameter.shape[1:], optimizers.learning_rate(step, SCHEDULED), lr_mul, 1)
    moved = []
    for layer, before_it, rows, high, low in zip(moment.double(), start, second_moment, parameter, mantissa):
        gradient_of_it = (layer - mu * before_it) / (1 - mu)
        direction = (1 - mu) * gradient_of_it + mu * layer
        parts = [optimizers.variance_reduction(optimizers.polar_express(part), torch.tensor(of, dtype=torch.float64))[0]
                 for part, of in zip(direction.chunk(matrices), np.split(rows, matrices))]
        moved.append(optimizers.cautious_split_update(high, low, m.bf16(torch.cat(parts).numpy()), *rates))
    highs, lows = zip(*moved)
    return {"moment_" + name: (moment.numpy(), "fp32"), "parameter_" + name: (np.stack(highs), "bf16"),
            "mantissa_" + name: (np.stack(lows), "uint16")}


def adam_outputs(name, before, gradient, step):
    parameter, first, second, pending = (before[kind + name][0] for kind in ("", "first_moment_", "second_moment_", "pending_"))
    betas, lr_mul, wd_mul = optimizers.ADAM[name]
    rates = optimizers.adam_rates(optimizers.learning_rate(step, SCHEDULED), lr_mul, wd_mul)
    total = (torch.tensor(pending, dtype=torch.float64) + gradient).to(torch.float32).numpy()
    moved, first, second = optimizers.adam_step(parameter, total, first, second, *betas, *rates, step // 2 + 1)
    dtype = before[name][1]
    return {"first_moment_" + name: (first, "fp32"), "second_moment_" + name: (second, "fp32"),
            "parameter_" + name: (m.bf16(moved) if dtype == "bf16" else moved, dtype)}


def train_step_case(component, seed, shape, step):
    """An odd step before the split, its state stored as SPEC 2, 6.2 and 6.3 say."""
    random = np.random.default_rng(seed)
    before = random_parameters(random, shape) | state_before(random, shape)
    tokens = text(random, 1000, shape.bos)
    training = Training({name: before[name][0] for name in shape.parameters()}, tokens, None, shape)
    training.step = step
    gradients, objective = training.step_gradients()
    outputs = {"loss": (np.array([objective], np.float32), "fp32")}
    for name, gradient in gradients.items():
        outputs |= (normuon_outputs if name in NORMUON else adam_outputs)(name, before, gradient, step)
    return Case(component, seed, dict(layers=shape.layers, skip=list(shape.skip), backout=shape.backout, pairing="strided",
                                      H=shape.heads, D=shape.head_dim, F=shape.hidden, V=shape.vocabulary, ranks=1, step=step),
                before | {"tokens": (tokens, "uint16")}, outputs=outputs)


def component_cases():
    yield "train_step", [train_step_case("train_step", 800, Shape("P1,L", (0, 1), 0, 2, 8, 16, 16), 3)]
    yield "train_trajectory", [train_trajectory_case("train_trajectory", 700, 8)]
