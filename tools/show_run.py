"""Prints what a training run reached and where its report lies: the last lines of `make demo`.

python tools/show_run.py build/demo/run
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Show the final metrics of the run directory given as the only argument."""
    run = Path(sys.argv[1]).resolve()
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    print(f"\nMetrics of the best weights ({run / 'metrics.json'}):")
    for name, value in metrics.items():
        print(f"  {name:<24} {value:.4f}" if isinstance(value, float) else f"  {name:<24} {value}")
    print(f"\nCurves and pictures: {run / 'report.html'}")


if __name__ == "__main__":
    main()
