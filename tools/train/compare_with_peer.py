#!/usr/bin/env python3
"""The log of a run of the record configuration on real text, 300 + 8 steps, beside the record's own
program on the same tokens: validation, training loss, and time a step, as Markdown on standard output.

    python3 tools/train/compare_with_peer.py run/log.jsonl [MORE.jsonl ...]

Exits 1 where a validation lies outside what the peer's seeds allow. The peer's figures were measured once
on an H100 80GB HBM3, four seeds (losses) and medians (times).
"""

import json
import statistics
import sys

# Steps: mean over the seeds, and how far from it a run may lie (four standard deviations; at step 200,
# where the seeds agree to 0.0005, 0.005).
VALIDATION = {0: (10.743, None), 100: (4.080, 0.052), 200: (3.262, 0.005)}
# Objective in nats a token, averaged over steps 0-9, 10-19, ...; the third MTP target ends at step 100.
OBJECTIVE = [14.41, 11.02, 10.14, 9.48, 8.83, 8.32, 7.85, 7.43, 7.14, 6.73,
             6.67, 6.15, 5.69, 5.28, 4.92, 4.66, 4.24, 3.88, 3.51, 3.17]
# By tokens a step: ms of a step alone and in this run, and MiB.
PHASES = {131072: (254, 275, 13524), 262144: (476, 475, 25131), 393216: (686, 694, 30841)}


def read(path):
    with open(path) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    return ([line for line in lines if "loss" in line],
            {line["step"]: line["validation_loss"] for line in lines if "validation_loss" in line})


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def main(paths):
    runs = [read(path) for path in paths]
    names = [f"run {i + 1}" for i in range(len(runs))]
    good = True

    head("validation before step", *names, "peer", "allowed", "")
    for step in sorted({step for _, validation in runs for step in validation}):
        losses = [validation.get(step) for _, validation in runs]
        mean, allowed = VALIDATION.get(step, (None, None))
        verdict = ""
        if allowed is not None:
            held = all(loss is not None and abs(loss - mean) <= allowed for loss in losses)
            good = good and held
            verdict = "holds" if held else "OUTSIDE"
        row(step, *("-" if loss is None else f"{loss:.4f}" for loss in losses), mean or "-",
            f"± {allowed}" if allowed else "-", verdict)

    print()
    head("training loss of steps", *names, "peer")
    last = max(line["step"] for training, _ in runs for line in training)
    for first in range(0, last + 1, 10):
        cells = []
        for training, _ in runs:
            part = [line["objective"] for line in training if first <= line["step"] < first + 10]
            cells.append(f"{statistics.fmean(part):.3f}" if part else "-")
        peer = OBJECTIVE[first // 10] if first // 10 < len(OBJECTIVE) else "-"
        row(f"{first}-{min(first + 9, last)}", *cells, peer)

    print()
    head("tokens a step", "", "ms a step (median)", "tokens/s", "MFU", "MiB", "peer ms", "ours / peer",
         "peer MiB")
    for tokens, (alone, in_run, mib) in PHASES.items():
        for name, (training, _) in zip(names, runs):
            part = [line for line in training if line["tokens"] == tokens]
            if not part:
                continue
            ms = 1e3 * statistics.median(line["seconds"] for line in part)
            mfu, memory = part[-1].get("mfu"), part[-1].get("memory_bytes")
            mfu = statistics.median(line["mfu"] for line in part) if mfu else None
            row(tokens, name, f"{ms:.1f}", f"{1e3 * tokens / ms:.0f}",
                f"{100 * mfu:.1f} %" if mfu else "-", memory >> 20 if memory else "-",
                f"{alone} ({in_run})", f"{ms / alone:.2f} ({ms / in_run:.2f})", mib)
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
