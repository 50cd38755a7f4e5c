#!/usr/bin/env python3
"""The table of tests/README.md: the worst ratios over all seeds, as shares of their limits.

    tools/verify/calibration_table.py seed_11.json seed_12.json ...

reads what `pairedhead verify --calibration FILE` wrote, one file a seed.
"""
import json
import sys

RATIOS = {"rho_max": "ρ_max", "rho_row": "ρ_row", "rho_rms": "ρ_rms"}


def merged(files):
    """{row: {"cases": sum, ratio: worst}} over all files."""
    rows = {}
    for file in files:
        with open(file, encoding="utf-8") as stream:
            for name, entry in json.load(stream).items():
                row = rows.setdefault(name, {"cases": 0} | dict.fromkeys(RATIOS, 0.0))
                row["cases"] += entry["cases"]
                for ratio in RATIOS:
                    row[ratio] = max(row[ratio], entry[ratio]["1"])
    return rows


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    rows = merged(sys.argv[1:])
    print("| row | cases |", " | ".join(RATIOS.values()), "|\n|---|---|---|---|---|")
    for name, row in sorted(rows.items()):
        print(f"| {name} | {row['cases']} |", " | ".join(f"{row[ratio]:.2f}" for ratio in RATIOS), "|")
    worst = sorted(((row[ratio], name, sign) for name, row in rows.items() for ratio, sign in RATIOS.items()),
                   reverse=True)[:3]
    print(f"\n{sum(row['cases'] for row in rows.values())} cases of {len(sys.argv) - 1} seeds; the worst are",
          ", ".join(f"{share:.2f} (`{name}`, {sign})" for share, name, sign in worst))


if __name__ == "__main__":
    main()
