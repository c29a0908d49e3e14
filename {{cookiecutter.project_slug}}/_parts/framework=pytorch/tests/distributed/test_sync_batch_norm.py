"""Which modules synchronise their statistics, and where that is refused."""

from unittest.mock import PropertyMock, patch

import pytest
from torch import nn

from executor.distributed.sync_batch_norm import batch_norms, synchronise
from utils.errors import UserError


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.Sequential(nn.BatchNorm2d(2, momentum=0.3)))


def test_on_a_gpu_the_same_modules_synchronise() -> None:
    built = model()
    (norm,) = batch_norms(built)
    before = built.state_dict()
    # No GPU is needed to see which modules change; a parameter says that it is on one.
    with patch.object(nn.Parameter, "is_cuda", PropertyMock(return_value=True), create=True):
        synchronise(built)
    assert batch_norms(built) == [norm]
    assert isinstance(norm, nn.SyncBatchNorm)
    expected = nn.SyncBatchNorm.convert_sync_batchnorm(model())[1][0]
    assert norm.__dict__.keys() == expected.__dict__.keys()
    assert str(norm) == str(expected)
    after = built.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].data_ptr() == before[name].data_ptr() for name in after)


def test_on_a_cpu_it_is_refused_and_nothing_changes() -> None:
    built = model()
    with pytest.raises(UserError, match=r"executor\.sync_batch_norm=true: .* GPUs only.*false"):
        synchronise(built)
    assert type(batch_norms(built)[0]) is nn.BatchNorm2d
