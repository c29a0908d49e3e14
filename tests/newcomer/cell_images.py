import glob
import json
import os
import random

import numpy as np
from PIL import Image


class CellImages:
    """My microscope images."""

    class_names = ["background", "cell", "border"]

    def __init__(self, root, val_fraction=0.2, seed=42, transform=None):
        self.root = root
        self.transform = transform
        files = sorted(glob.glob(os.path.join(root, "images", "*.png")))
        random.seed(seed)
        random.shuffle(files)
        n = int(len(files) * val_fraction)
        self.files = {"validation": files[:n], "train": files[n:]}
        self.cache = {}
        try:
            self.meta = json.load(open(os.path.join(root, "meta.json")))
        except FileNotFoundError:
            print("no meta.json in", root)
            self.meta = {}

    def split(self, name):
        if name not in self.files:
            raise ValueError("unknown split " + name)
        return CellSplit(self.files[name], self.transform)


class CellSplit:
    def __init__(self, files, transform):
        self.files = files
        self.transform = transform
        self.stats = []

    def __len__(self):
        return len(self.files)

    def read(self, i):
        path = self.files[i]
        image = np.array(Image.open(path).convert("RGB"))
        mask = np.array(Image.open(path.replace("images", "masks")))
        mask = (mask > 127).astype(np.uint8)
        assert image.shape[:2] == mask.shape, f"{path}: {image.shape} vs {mask.shape}"
        if self.transform:
            image, mask = self.transform(image, mask)
        self.stats.append((image.mean(), mask.mean()))
        return {"image": image, "mask": mask}
