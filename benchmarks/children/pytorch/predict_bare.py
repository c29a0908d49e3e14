"""Images a second of the script that most people write to predict: one file after the other."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from evaluation.colours import class_colours
from executor.inference.load import load
from PIL import Image


def main() -> None:
    """Write a mask and an overlay for each image of a folder; print how many took how long."""
    run, folder, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    began = time.perf_counter()
    predictor = load(run)
    model, size = predictor.model.eval(), predictor.task.image_size
    colours = class_colours(predictor.task.class_names)
    files = sorted(folder.iterdir())
    with torch.no_grad():
        for file in files:
            image = Image.open(file).convert("RGB")
            small = np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))
            batch = torch.from_numpy(small).permute(2, 0, 1)[None].float().div(255)
            classes = model(batch.sub(0.5).div(0.25)).argmax(1)[0].byte().numpy()
            mask = Image.fromarray(classes).resize(image.size, Image.Resampling.NEAREST)
            mask.save(output / f"{file.stem}_mask.png")
            layer = Image.fromarray(colours[np.asarray(mask)])
            Image.blend(image, layer, 0.5).save(output / f"{file.stem}_overlay.png")
    print(json.dumps({"images": len(files), "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
