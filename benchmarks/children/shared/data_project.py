"""Images a second of the project's own data path, from files to tensors that a model can take."""

import json
import sys
import time
from pathlib import Path

from configs.loading import load_config
from dataloader.batches import Batch, prefetched
from dataloader.build import load_split, open_source, training_batches
from executor.devices.device import Device
from executor.inference.build import build_task
from made_up_images import CLASSES

_LATER_EPOCHS = 5


def main() -> None:
    """Print the seconds of the first epoch, decoding included, and of the later ones, as JSON."""
    root, size, batch_size, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    about = {
        "target": "dataloader.sources.folder:Folder",
        "root": root,
        "class_names": list(CLASSES),
        "image_size": size,
        "validation": 0.0,
    }
    config = {
        "data": {"source": about, "transforms": []},
        "train": {"batch_size": batch_size},
    }
    path = Path(folder, "data.yaml")
    path.write_text(json.dumps(config), encoding="utf-8")
    cfg = load_config(str(path))
    device = Device(cfg)
    began = time.perf_counter()
    source = open_source(cfg.data)
    io = build_task(cfg, source).io
    decoded = load_split(cfg.data, source, "train")
    batches = training_batches(cfg.data, source, decoded, batch_size, cfg.run.seed)

    def batch_at(position: int) -> Batch:
        return batches.at(position, batch_size)

    def epochs(first: int, count: int) -> None:
        positions = range(first * len(decoded), (first + count) * len(decoded), batch_size)
        for batch in prefetched(batch_at, positions, cfg.data.workers):
            io.inputs(device.move(batch.fields))

    epochs(0, 1)
    first_epoch = time.perf_counter() - began
    began = time.perf_counter()
    epochs(1, _LATER_EPOCHS)
    later_epoch = (time.perf_counter() - began) / _LATER_EPOCHS
    print(json.dumps({"images": len(decoded), "first": first_epoch, "later": later_epoch}))


if __name__ == "__main__":
    main()
