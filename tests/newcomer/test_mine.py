import numpy as np
import pytest
import torch

from boundary_f1 import BoundaryF1
from focal import focal
from resnet import MyNet


@pytest.mark.parametrize("size", [32, 64])
def test_shape(size):
    net = MyNet(size, 3)
    y = net(torch.randn(2, 3, size, size))
    assert y.shape == (2, 3, size, size)


def test_loss_goes_down():
    logits = torch.zeros(1, 3, 4, 4)
    target = torch.zeros(1, 4, 4, dtype=torch.uint8)
    a = focal(logits, target)
    logits[:, 0] = 5
    b = focal(logits, target)
    assert b < a


def test_f1():
    m = BoundaryF1(3)
    t = np.zeros((1, 8, 8), np.uint8)
    t[:, 4:] = 1
    m.update(t, t)
    assert m.results()["boundary_f1"] == 1
