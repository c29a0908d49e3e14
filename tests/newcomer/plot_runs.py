import json
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def load(path):
    rows = []
    with open(path) as f:
        for line in f:
            rows.append(json.loads(line))
    return rows


def main():
    runs = sys.argv[1:] or [str(p) for p in Path("runs").iterdir()]
    fig, axes = plt.subplots(1, 2, figsize=(10, 4))
    for idx, r in enumerate(runs):
        rows = load(r + "/metrics.jsonl")
        for ax, key in zip(axes, ("loss", "mean_iou")):
            xs = [row["step"] for row in rows if key in row]
            ys = [row[key] for row in rows if key in row]
            ax.plot(xs, ys, label=r)
            ax.set_title(key)
    axes[0].legend()
    fig.savefig("runs.png")
    commit = subprocess.run("git rev-parse HEAD", shell=True, capture_output=True).stdout.decode()
    print(f"saved runs.png at {commit}")


if __name__ == "__main__":
    main()
