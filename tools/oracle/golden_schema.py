"""Writes golden files in the schema of golden/README.md with h5py."""

import dataclasses
import os
import pathlib
import re

import h5py
import numpy as np

VERSION = pathlib.Path(__file__).resolve().parents[2] / "reference" / "spec_version.h"
STORED = {"bf16": np.float32, "fp32": np.float32, "fp64": np.float64, "int32": np.int32,
          "uint16": np.uint16, "e4m3": np.float32, "e5m2": np.float32}


@dataclasses.dataclass
class Case:
    """One group of a golden file. Tensors are (array, dtype word) by name."""

    component: str
    seed: int
    parameters: dict
    inputs: dict
    outputs: dict = dataclasses.field(default_factory=dict)
    grads: dict = dataclasses.field(default_factory=dict)
    name: str = ""
    attributes: dict = dataclasses.field(default_factory=dict)


def text_of(parameters):
    """"D=16 H=6 T=48 documents=3,1,44", names in alphabetical order."""
    def value(v):
        return ",".join(map(str, v)) if isinstance(v, (list, tuple)) else str(v)
    return " ".join(f"{name}={value(v)}" for name, v in sorted(parameters.items()))


def attribute_of(value):
    """Integers and lists of them as int64, everything else as text."""
    if isinstance(value, list) and len(value) > 1:
        return np.asarray(value, np.int64)
    if isinstance(value, list):
        return np.int64(value[0])
    return np.int64(value) if isinstance(value, (int, np.integer)) else str(value)


def put(group, path, array, dtype, stored):
    array = np.asarray(array).astype(stored)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{group.name}/{path}: expected finite values")
    data = group.create_dataset(path, data=array, chunks=array.shape, compression="gzip",
                                compression_opts=9, shuffle=True, fletcher32=True, track_times=False)
    data.attrs["dtype"] = dtype


def write_golden(path, origin, cases, attributes):
    """Replaces `path` in one step; equal cases give equal bytes."""
    temporary = path.with_suffix(".h5.tmp")
    with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        for i, case in enumerate(cases):
            group = file.create_group(case.name or f"{origin}_{i:02}")
            group.attrs["component"] = case.component
            group.attrs["spec_version"] = spec_version()
            group.attrs["origin"] = origin
            group.attrs["seed"] = np.uint64(case.seed)
            group.attrs["parameters"] = text_of(case.parameters)
            for name, value in {**case.parameters, **attributes, **case.attributes}.items():
                group.attrs[name] = attribute_of(value)
            for name, (array, dtype) in case.inputs.items():
                put(group, f"inputs/{name}", array, dtype, STORED[dtype])
            for kind, tensors in (("outputs", case.outputs), ("grads", case.grads)):
                for name, (array, dtype) in tensors.items():
                    put(group, f"{kind}/{name}", array, dtype, np.float64)
    os.replace(temporary, path)


def spec_version():
    return re.search(r'spec_version = "([^"]+)"', VERSION.read_text()).group(1)
