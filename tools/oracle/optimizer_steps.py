#!/usr/bin/env python3
"""Writes tests/golden/optimizer_steps.h5: ten steps of both optimizers in float64 (SPEC 6, 7.2, 7.3).

    python3 tools/oracle/optimizer_steps.py [--out tests/golden/optimizer_steps.h5]

NorMuon moves at every step, Adam at odd ones with the sum of two gradients. Parameters, states and gradients
start as SplitMix64 streams (tiny_model.py's) that whoever checks the file draws again; the file holds what
each parameter is after every step, and the states at the end.
"""

import argparse
import os
import pathlib

import h5py
import numpy as np
import torch

import optimizers
from tiny_model import uniform

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS, SCHEDULED, WARM_UP, COOL_DOWN = 10, 9, 3, 2  # one step of extension
# name: shape, matrices, lr_mul
NORMUON = {"qkvo": ((16, 4), 4, 1), "c_fc": ((12, 4), 1, 1), "c_proj": ((12, 4), 1, 2)}
WIDTH, UPDATES = 12, 7  # t before the first update


def drawn(parameter, what, *shape):
    """In [0, 1). `what`: 0 the parameter, 1 and 2 its moments, 10 and on the gradients of the steps."""
    return torch.tensor(uniform(100 * parameter + what, int(np.prod(shape))).reshape(shape))


def signed(*arguments):
    return 2 * drawn(*arguments) - 1


def momentum_of(step):
    return optimizers.muon_momentum(step, STEPS, WARM_UP, COOL_DOWN)


def normuon_steps(number, shape, matrices, lr_mul):
    p, moment = signed(number, 0, *shape), signed(number, 1, *shape)
    second = 0.1 + drawn(number, 2, shape[0])
    after = []
    for step in range(STEPS):
        rates = optimizers.normuon_rates(*shape, optimizers.learning_rate(step, SCHEDULED), lr_mul, 1)
        p, moment, second = optimizers.normuon_update(p, signed(number, 10 + step, *shape), moment, second, matrices,
                                                      momentum_of(step), *rates)
        after.append(p)
    return {"parameter": torch.stack(after), "moment": moment, "second_moment": second}


def adam_steps(number, betas, lr_mul, wd_mul):
    p, first, second = signed(number, 0, WIDTH), signed(number, 1, WIDTH) / 4, drawn(number, 2, WIDTH)
    pending, updates, after = 0, UPDATES, []
    for step in range(STEPS):
        pending = pending + signed(number, 10 + step, WIDTH)
        if step % 2 == 1:
            updates += 1
            p, first, second = optimizers.adam_update(
                p, pending, first, second, *betas,
                *optimizers.adam_rates(optimizers.learning_rate(step, SCHEDULED), lr_mul, wd_mul), updates,
                number=optimizers.double)
            pending = 0
        after.append(p)
    return {"parameter": torch.stack(after), "moment": first, "second_moment": second}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests" / "golden" / "optimizer_steps.h5")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    temporary = out.with_suffix(".tmp")
    with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        for number, (name, settings) in enumerate((NORMUON | optimizers.ADAM).items()):
            steps = normuon_steps if name in NORMUON else adam_steps
            for what, tensor in steps(number, *settings).items():
                file.create_dataset(f"{name}/{what}", data=tensor.numpy(), track_times=False)
    os.replace(temporary, out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
