"""Optimizers that take their first step without importing PyTorch's compiler.

Every `torch.optim.Optimizer` wraps its methods for `torch.compile`. The wrappers import
`torch._dynamo` on the first call, construction included: over a second of CPU time and about a
thousand modules, as much again as `import torch`, for programs that compile nothing. The methods
below the wrappers are complete without them; a subclass that uses those computes the same bits.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch

# The layers that may be taken off: the module and the name of their code in torch 2.13.
_COMPILER_LAYER = ("torch._compile", "_disable_dynamo.<locals>.inner")
_GRAD_MODE_LAYER = (
    "torch.optim.optimizer",
    "_use_grad_for_differentiable.<locals>._use_grad",
)
# Runs hooks and names the step in profiles; every optimizer puts it on again when constructed.
_HOOK_LAYER = ("torch.optim.optimizer", "Optimizer.profile_hook_step.<locals>.wrapper")
_METHODS = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")


def without_compiler(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return a subclass of an optimizer class that does not import PyTorch's compiler.

    Constructing, stepping, clearing gradients, saving and loading are then the class's own
    functions, minus the wrappers that prepare them for `torch.compile`. Hooks, profiles, learning
    rate schedulers and gradient scalers work as before, since nothing but these layers changes;
    the layer for hooks and profiles is gone through only where there are any.

    Args:
        factory: Any callable. Only a class derived from `torch.optim.Optimizer` is replaced.

    Returns:
        The subclass; or `factory` itself if it is no such class, if the compiler is imported
        already (there is nothing left to save), or if the methods are wrapped in a way that this
        version does not know (then the compiler is imported, and all else is the same).
    """
    if not (isinstance(factory, type) and issubclass(factory, torch.optim.Optimizer)):
        return factory
    if "torch._dynamo" in sys.modules:
        return factory
    bare = {}
    for name in _METHODS:
        method = getattr(factory, name)
        bare_method = _without_layers(method)
        if bare_method is None:
            return factory
        if bare_method is not method:
            bare[name] = bare_method
    if "step" in bare:
        bare["step"] = _hooked_where_needed(bare["step"])
    names = {"__module__": factory.__module__, "__qualname__": factory.__qualname__}
    return type(factory.__name__, (factory,), {**names, "__doc__": factory.__doc__, **bare})


def _without_layers(method: Callable[..., Any]) -> Callable[..., Any] | None:
    """Take the known layers off a method; None if one remains that could import the compiler."""
    sets_grad_mode = False
    while (layer := _layer(method)) in (_COMPILER_LAYER, _GRAD_MODE_LAYER, _HOOK_LAYER):
        sets_grad_mode |= layer == _GRAD_MODE_LAYER
        method = method.__wrapped__  # type: ignore[attr-defined]
    below: Any = method
    while below is not None:
        module, name = _layer(below)
        if module == "torch._compile" or (module == "torch.optim.optimizer" and "<locals>" in name):
            return None
        below = getattr(below, "__wrapped__", None)
    return _in_grad_mode(method) if sets_grad_mode else method


def _hooked_where_needed(step: Callable[..., Any]) -> Callable[..., Any]:
    """Take PyTorch's layer of hooks and profiling where there is a hook or a profiler.

    An optimizer puts it on when constructed unless the step says that it has it. Passing through it
    takes longer than the update of a small model does.
    """
    whole = torch.optim.Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def hooked_where_needed(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        return (whole if _is_watched(self) else step)(self, *args, **kwargs)

    hooked_where_needed.hooked = True  # type: ignore[attr-defined]
    return hooked_where_needed


def _is_watched(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a hook or a profiler waits for the steps of an optimizer; if unsure, yes."""
    module = sys.modules[torch.optim.Optimizer.__module__]
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or getattr(module, "_global_optimizer_pre_hooks", True)
        or getattr(module, "_global_optimizer_post_hooks", True)
        or getattr(torch.autograd.profiler, "_is_profiler_enabled", True)
    )


def _layer(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the name of a function's own code, not those copied by `wraps`."""
    code = getattr(function, "__code__", None)
    module = getattr(function, "__globals__", {}).get("__name__", "")
    return module, "" if code is None else code.co_qualname


def _in_grad_mode(step: Callable[..., Any]) -> Callable[..., Any]:
    """Run a step in the mode that the optimizer asks for, as its decorator does."""

    @functools.wraps(step)
    def in_grad_mode(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return step(self, *args, **kwargs)

    return in_grad_mode
