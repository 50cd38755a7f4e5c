"""SPEC's training loop in float64, nothing rounded (SPEC 6.5, 7, 8, 10), and its cases for oracle.py.

Out of the functions of the other files; here is what joins them: which tokens, which windows, which gradients
when. One rank. The configuration is reference::micro_config(): the record's layers at C = 16.
"""

import numpy as np
import torch

import data
import mathematics as m
import model
import optimizers
from golden_schema import Case
from model_cases import RECORD_LAYERS, parameter_shapes

HEADS, HEAD_DIM, HIDDEN, VOCABULARY, BOS, MAX_DOCUMENT = 2, 8, 32, 64, 63, 16
WORDS, SKIP, BACKOUT = RECORD_LAYERS.split(","), (3, 6), 7
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
    def __init__(self, parameters, tokens, validation_tokens):
        self.p = {name: torch.tensor(value, dtype=torch.float64) for name, value in parameters.items()}
        self.validation_tokens = validation_tokens
        self.packer = data.Packer(tokens, BOS, MAX_DOCUMENT)
        self.step, self.split = 0, False
        zeros = {name: torch.zeros_like(value) for name, value in self.p.items()}
        self.moment = {name: zeros[name].clone() for name in NORMUON}
        self.second_moment = {name: zeros[name][..., 0].clone() for name in NORMUON}
        self.adam = {name: (zeros[name], zeros[name], 0) for name in optimizers.ADAM if name != "embed"}
        self.pending = {}
        self.blocks, self.frequency, self.kappa = 3, m.start_frequency(HEAD_DIM), 0.1

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
        z = model.logits(p, WORDS, inputs, documents, windows, self.frequency, self.kappa, HEADS, SKIP, BACKOUT,
                         "strided", self.split)
        return model.loss(z, targets, weights, validation)

    def train_step(self):
        """Returns the objective, in nats a token."""
        windows, length = self.begin_step(), LENGTHS[phase(self.step)]
        leaves = {name: value.clone().requires_grad_() for name, value in self.p.items()}
        total = 0
        for _ in range(MICRO_BATCHES):
            total = total + self.loss(leaves, self.packer.next(length), windows, mtp_weights(self.step), False)
        total = total / MICRO_BATCHES
        total.backward()
        gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        self.move_normuon(gradients)
        for name in gradients.keys() & self.adam.keys():
            self.pending[name] = self.pending.get(name, 0) + gradients[name]
        if self.step % 2 == 1:
            self.move_adam()
        if self.step == SPLIT:
            self.split = True
            self.p["embed"], self.adam["embed"] = self.p["lm_head"].clone(), self.adam["lm_head"]
        self.step += 1
        return total.item() / length

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
        losses = [self.loss(self.p, data.validation_sequence(self.validation_tokens, BOS, i * length, length), windows,
                            [1], True).item() for i in range(sequences)]
        return sum(losses) / sequences

    def norm(self, name):
        family, _, layer = name.partition(".")
        return torch.linalg.vector_norm(self.p[family][int(layer)] if layer else self.p[family]).item()


def few_bits(random, shape, size):
    return (random.integers(-8, 9, shape) / size).astype(np.float32)


def text(random, count):
    """Documents of 1 to 20 tokens."""
    tokens = random.integers(0, BOS, count)
    tokens[np.concatenate([[0], np.cumsum(random.integers(1, 21, count))[:-1]]).clip(max=count - 1)] = BOS
    return tokens.astype(np.uint16)


def train_trajectory_case(component, seed, steps):
    random = np.random.default_rng(seed)
    parameters = {}
    for name, (shape, size) in parameter_shapes(WORDS, HEADS, HEAD_DIM, HIDDEN, VOCABULARY).items():
        if size is None:
            value = random.choice([-1, 1], shape) * random.integers(4, 25, shape) / 16
        else:
            value = few_bits(random, shape, 32 if name in NORMUON else 16) * (name != "embed")
        parameters[name] = value.astype(np.float32), "fp32" if size is None else "bf16"
    tokens, validation_tokens = text(random, 5000), text(random, VALIDATION[0] * VALIDATION[1] + 2)
    training = Training({name: value for name, (value, _) in parameters.items()}, tokens, validation_tokens)
    losses = [training.train_step() for _ in range(steps)]
    single = lambda values: (np.array(values, np.float32), "fp32")
    return Case(component, seed, dict(ranks=1, steps=steps),
                parameters | {"tokens": (tokens, "uint16"), "validation_tokens": (validation_tokens, "uint16")},
                outputs={"loss": single(losses), "norm": single([training.norm(name) for name in WATCHED]),
                         "validation_loss": single([training.validate()])})


def component_cases():
    yield "train_trajectory", [train_trajectory_case("train_trajectory", 700, 8)]
