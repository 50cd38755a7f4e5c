"""The door of `--target exec:CMD` for a Python program; README.md describes what passes through it."""

import json
import sys

import h5py


def serve(components):
    """Answers cases until standard input ends.

    components: functions by component name; each takes the inputs (name -> array) and the parameters
    (name -> text) of one case and returns its results ("outputs/y" or "grads/q" -> array).
    """
    for line in sys.stdin:
        batch = json.loads(line)
        function = components.get(batch["component"])
        if function is None:
            answer = {"skip": f"no kernel for {batch['component']}"}
        else:
            try:
                parameters = dict(word.split("=") for word in batch["parameters"].split())
                run(function, parameters, batch["inputs"], batch["outputs"])
                answer = {"ok": True}
            except Exception as error:
                answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def run(function, parameters, inputs, outputs):
    with h5py.File(inputs) as questions, h5py.File(outputs, "w") as answers:
        for name, case in questions.items():
            arrays = {key: dataset[...] for key, dataset in case["inputs"].items()}
            for key, array in function(arrays, parameters).items():
                answers[f"{name}/{key}"] = array
