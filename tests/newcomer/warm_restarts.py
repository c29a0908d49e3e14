import math

from torch.optim.lr_scheduler import LambdaLR


def make(optimizer, total_steps, cycles=4, floor=0.01, warmup=None):
    cycle = max(1, total_steps // cycles)
    warm = lambda step: min(1.0, (step + 1) / warmup) if warmup else 1.0

    def factor(step):
        t = (step % cycle) / cycle
        return warm(step) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * t)))

    return LambdaLR(optimizer, factor)
