"""Wrote h5py.h5: what h5py makes of a batch by its defaults (oldest format, no checksums, int64)."""

import pathlib

import h5py
import numpy as np

random = np.random.default_rng(1)
with h5py.File(pathlib.Path(__file__).with_name("h5py.h5"), "w") as file:
    for name in ("case_0", "case_1"):
        case = file.create_group(name)
        case.attrs["component"] = "rotary_plain"
        case.attrs["parameters"] = "D=8 H=2 T=3"
        case.attrs["seed"] = 7
        case["inputs/q"] = random.standard_normal((3, 2, 8)).astype(np.float32)
        case["inputs/q"].attrs["dtype"] = "fp32"
        case["inputs/cu_seqlens"] = np.array([0, 2, 3])
        case["outputs/y"] = random.standard_normal((3, 2, 8))
        half = np.full((10, 2), 1 / 3, np.float16)
        case.create_dataset("outputs/half", data=half, compression="gzip")
