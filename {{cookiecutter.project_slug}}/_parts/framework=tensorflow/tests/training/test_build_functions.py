"""How optimizers are made from Keras' classes."""

import pytest

from configs.schema import Component
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
