import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, in_ch, out_ch, stride=1, norm=None):
        super().__init__()
        norm = norm or nn.BatchNorm2d
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1, bias=False)
        self.bn2 = norm(out_ch)
        if stride != 1 or in_ch != out_ch:
            self.skip = nn.Sequential(nn.Conv2d(in_ch, out_ch, 1, stride=stride, bias=False), norm(out_ch))
        else:
            self.skip = None

    def forward(self, x):
        identity = x if self.skip is None else self.skip(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return F.relu(x + identity)


class MyNet(nn.Module):
    def __init__(self, image_size: int, num_classes: int, widths=[16, 32, 64], dropout: float = 0.1):
        super().__init__()
        self.blocks = nn.ModuleList()
        ch = 3
        for i, w in enumerate(widths):
            self.blocks.append(Block(ch, w, stride=2 if i > 0 else 1))
            ch = w
        self.drop = nn.Dropout(dropout)
        self.head = nn.Conv2d(ch, num_classes, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[-2:]
        for b in self.blocks:
            x = b(x)
        # upsample back to the size of the input so that every pixel gets a class score and the loss can be computed
        return F.interpolate(self.head(self.drop(x)), size=size, mode="bilinear", align_corners=False)
