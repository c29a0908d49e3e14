# Focal loss, see https://arxiv.org/abs/1708.02002
import torch
import torch.nn.functional as F

EPS = 1e-8


def focal(logits, target, gamma=2.0, alpha=None, ignore_index=None):
    ce = F.cross_entropy(logits, target.long(), reduction='none')
    pt = torch.exp(-ce)
    loss = (1 - pt) ** gamma * ce
    if alpha is not None:
        a = torch.tensor(alpha, device=logits.device)[target.long()]
        loss = a * loss
    if ignore_index != None:
        mask = target != ignore_index
        loss = loss[mask]
    return loss.sum() / (loss.numel() + EPS)


class FocalLoss:
    def __init__(self, gamma=2.0, **kwargs):
        self.gamma = gamma
        self.kwargs = kwargs

    def __call__(self, logits, target):
        return focal(logits, target, self.gamma, **self.kwargs)
