"""How optimizers are made from Keras' classes."""

import pytest

from configs.loading import load_config
from configs.schema import Component
from dataloader.build import open_source
from executor.devices.device import Device
from executor.inference.build import build_task
from executor.training.build import build_state
from executor.training.build_functions import foreign_arguments, make_optimizer
from ops.parameter_groups import ParameterGroup
from utils.errors import UserError
from utils.framework import keras


def test_classes_of_keras_take_no_groups() -> None:
    variables = [keras.Variable([1.0]), keras.Variable([2.0])]
    one, two = (ParameterGroup([variable]) for variable in variables)
    assert foreign_arguments("keras.optimizers:Lion", keras.optimizers.Lion, [one]) == []
    with pytest.raises(UserError, match="needs adam, adamw or sgd"):
        foreign_arguments("keras.optimizers:Lion", keras.optimizers.Lion, [one, two])


def test_an_optimizer_has_its_variables_before_the_first_step() -> None:
    component = Component(target="keras.optimizers:Lion")
    given = [keras.Variable([1.0])]
    optimizer = make_optimizer(component, keras.optimizers.Lion, given, [], {})
    assert optimizer.built


def build(*overrides: str) -> None:
    cfg = load_config(None, ["data.source.image_size=16", "executor.device=cpu", *overrides])
    source = open_source(cfg.data)
    build_state(cfg, source, build_task(cfg, source), 10, Device(cfg))


def test_a_schedule_inside_of_an_optimizer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    made = keras.optimizers.SGD(learning_rate=schedule)
    monkeypatch.setattr(keras.optimizers, "SGD", lambda: made)
    with pytest.raises(UserError, match=r"name the schedule in train\.schedule"):
        build("train.optimizer={target: keras.optimizers:SGD}")


def test_what_is_no_schedule_is_refused() -> None:
    name = "keras.callbacks:ReduceLROnPlateau"
    with pytest.raises(UserError, match="a function of the number of the update"):
        build(f"train.schedule={{target: {name}, patience: 0}}")
