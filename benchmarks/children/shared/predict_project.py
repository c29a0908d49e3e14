"""Images a second of the project's own `predict`."""

import json
import sys
import time
from pathlib import Path

from executor.inference.predict import predict


def main() -> None:
    """Write a mask and an overlay for each image of a folder; print how many took how long."""
    run, folder, output = sys.argv[1:4]
    count = len(list(Path(folder).iterdir()))
    began = time.perf_counter()
    predict(run, [folder], output)
    print(json.dumps({"images": count, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
