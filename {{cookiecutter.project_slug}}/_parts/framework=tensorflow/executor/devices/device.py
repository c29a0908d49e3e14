"""The device and its numbers: chosen once, announced, and applied to models and batches."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs.schema import CFG, Executor
from dataloader.sample import Fields
from executor.devices.device_and_precision import Precision, choose_device, choose_precision
from executor.devices.tensors import signature_of
from executor.distributed.world import World
from ops.task import ModelIO
from utils.errors import UserError
from utils.framework import keras, tf
from utils.logs import log

_POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}
_AMPERE = (8, 0)  # its compute capability in CUDA; the first with bf16 and TF32


class Device:
    """Where tensors live and in which precision the model computes."""

    def __init__(self, cfg: CFG, world: World | None = None) -> None:
        """Choose what is asked for; a UserError says if the machine does not have it."""
        if keras.backend.backend() != "tensorflow":
            raise UserError(
                f"Keras was started with the backend {keras.backend.backend()}; start a new "
                "process with KERAS_BACKEND=tensorflow."
            )
        if not cfg.executor.channels_last:
            raise UserError(
                "executor.channels_last=false: with TensorFlow images are always [batch, height, "
                "width, channel]. Remove the setting."
            )
        self.world = world or World()
        self.kind = _available(cfg.executor.device)
        """`cuda` (ROCm has that name too), `mps` or `cpu`."""
        self.precision, self.reason = _precision(cfg.executor.precision, self.kind)
        self._compile = cfg.executor.compile
        self._eager = cfg.executor.eager
        self._has_tf32 = self.kind == "cuda" and cfg.executor.tf32 and _gpu_is_recent()
        self._forward: dict[int, Any] = {}
        _set_up_process(cfg.executor, cfg.run.deterministic, self.kind)
        self.world.connect(cfg.executor.timeout_minutes)

    def __str__(self) -> str:
        tf32 = ", products of fp32 in TF32" if self._has_tf32 else ""
        return f"{self._name()}, {self.precision} ({self.reason}){tf32}"

    def place(self, model: keras.Model, io: ModelIO) -> keras.Model:
        """Give a model its variables, if it waits for its first inputs to make them."""
        if not model.built:
            model(*io.placeholders())
        return model

    def inference(self, model: keras.Model, io: ModelIO) -> Callable[[Fields], Any]:
        """Return what to call for a forward pass without learning; traced once for each model.

        It takes samples, [B, ...] by name, and returns what the model returns.
        """

        def call(fields: Fields) -> Any:
            seen = {name: fields[name] for name in io.reads}
            if id(model) not in self._forward:
                self._forward[id(model)] = self._traced(model, io, seen)
            return self._forward[id(model)](seen)

        return call

    def _traced(self, model: keras.Model, io: ModelIO, seen: Fields) -> Any:
        """Return a forward pass for samples like those that it will see."""

        def forward(samples: dict[str, tf.Tensor]) -> Any:
            return model(*io.inputs(samples), training=False)

        if self._eager:
            return lambda samples: forward(tf.nest.map_structure(tf.convert_to_tensor, samples))
        traced = tf.function(
            lambda samples: self.world.apart(forward, samples),
            input_signature=[signature_of(seen)],
            autograph=False,
            jit_compile=self._compile or None,
        )
        return self.compiling()(traced)

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Mark where the compiler may run.

        Raises:
            UserError: If it cannot compile the model.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if not self._compile or "tf2xla" not in str(error):
                raise
            reason = next(line for line in str(error).splitlines() if _is_reason(line))
            raise UserError(
                f"executor.compile=true: the model cannot be compiled: {reason} Set it to false."
            ) from error

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Return the context in which a model is made; its layers compute in the precision."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(_POLICIES[self.precision])
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    def seed(self, seed: int) -> None:
        """Make the random numbers of Keras and TensorFlow follow from a seed."""
        keras.utils.set_random_seed(seed % (1 << 32))

    def facts(self) -> dict[str, Any]:
        """Return what `environment.json` says about the device."""
        return {
            "device": self._name(),
            "precision": self.precision,
            "threads": _threads(),
            "cuda": tf.sysconfig.get_build_info().get("cuda_version"),
            "hip": tf.sysconfig.get_build_info().get("rocm_version"),
            "tf32": self._has_tf32,
            "compile": self._compile,
        }

    def _name(self) -> str:
        if self.kind == "cuda":
            return f"cuda ({_gpu_details().get('device_name', 'GPU')})"
        return f"cpu ({_threads()} threads)" if self.kind == "cpu" else self.kind


def _is_reason(line: str) -> bool:
    """Return whether a line of an error of a graph says what failed, and not where."""
    return bool(line) and not line.startswith(("Graph exec", "Detected at node", "<stack"))


def _available(wanted: str) -> str:
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    is_mac = sys.platform == "darwin"
    has = {"cuda": has_gpu and not is_mac, "mps": has_gpu and is_mac, "cpu": True}
    return choose_device(wanted, has, f"TensorFlow ({tf.__version__})")


def _precision(wanted: str, kind: str) -> tuple[Precision, str]:
    if kind == "cuda":
        accepts = computes = _gpu_is_recent()
    else:
        accepts, computes = True, kind == "cpu" and _cpu_computes_bf16()
    return choose_precision(wanted, kind, accepts_bf16=accepts, computes_bf16=computes)


def _gpu_details() -> dict[str, Any]:
    gpu = tf.config.list_physical_devices("GPU")[0]
    details: dict[str, Any] = tf.config.experimental.get_device_details(gpu)
    return details


def _gpu_is_recent() -> bool:
    """Return whether the GPU computes in bf16 and TF32."""
    return bool(_gpu_details().get("compute_capability", (0, 0)) >= _AMPERE)


def _cpu_computes_bf16() -> bool:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(("flags", "Features")):  # x86 and ARM; all cores are alike
                return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(line.split())
    return False


def _threads() -> int:
    """Return how many threads one operation may use on the CPU."""
    configured: int = tf.config.threading.get_intra_op_parallelism_threads()  # 0: the default
    default = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if configured or default.isdecimal():
        return configured or int(default)
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _set_up_process(executor: Executor, deterministic: bool, kind: str) -> None:
    try:
        if executor.threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(executor.threads)
            tf.config.threading.set_inter_op_parallelism_threads(executor.threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            if kind == "cpu":
                tf.config.set_visible_devices([], "GPU")
            else:  # ask for memory when it is needed, instead of for all of it now
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        log.warning(
            "TensorFlow already runs in this process, with %d threads and its first choice of "
            "devices: executor.threads and executor.device hold in a new process only",
            _threads(),
        )
    if kind == "cuda":
        tf.config.experimental.enable_tensor_float_32_execution(executor.tf32)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
