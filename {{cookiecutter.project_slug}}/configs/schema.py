"""CFG: every setting of the project with its type, default, unit and meaning.

YAML is checked against these classes before anything heavy is imported. Editors complete and check
it by `configs/schema.json`: python main.py config --schema > configs/schema.json
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

PositiveInt = Annotated[int, Field(ge=1)]
NaturalInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
NaturalFloat = Annotated[float, Field(ge=0.0)]
Text = Annotated[str, Field(min_length=1)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _component(value: Any) -> Any:
    return {"target": value} if isinstance(value, str) else value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        text = "expected a regular expression ({error})"
        raise PydanticCustomError("no_pattern", text, {"error": str(error)}) from error
    return value


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing converted, nothing changed later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


class Component(Section):
    """An object that is built by name, with its keyword arguments beside it."""

    model_config = ConfigDict(extra="allow")

    target: Text
    """`module:object`, or a plain name that the field's own module knows."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that were written beside `target`."""
        return dict(self.__pydantic_extra__ or {})


Named = Annotated[Component, BeforeValidator(_component)]


class Run(Section):
    """One run: where it writes, and what makes it repeatable."""

    dir: Text = "runs/default"
    """Folder that holds everything of the run; a relative one lies in the project's folder."""
    seed: NaturalInt = 0
    """The one seed: initial weights, order, augmentation and dropout follow from it."""
    deterministic: bool = False
    """Refuse GPU kernels whose result differs from run to run (slower; CPUs never use such)."""
    strict_code: bool = False
    """Refuse to continue a run with other code than it last began with, in place of a warning."""
    log_every: PositiveInt = 10
    """Steps between two rows of `metrics.jsonl` and two points in TensorBoard."""
    tensorboard: bool = True
    """Write TensorBoard event files into the run's folder."""
    callbacks: list[Named] = []
    """Further callbacks, such as a tracker of your own (see `executor/runs/callback.py`)."""


class Data(Section):
    """What is learned from, and how it reaches the model."""

    source: Named
    """Where samples come from; the arguments are those of the source's class."""
    sampler: Named = Component(target="uniform")
    """`uniform`: each sample once an epoch; `balanced`: each class as often as any other;
    `weighted`: by a field of the samples; or `module:object` (see `dataloader/samplers.py`)."""
    transforms: list[Named] = []
    """Random changes of a training sample, applied in this order (see `ops/augment.py`)."""
    batch_transforms: list[Named] = []
    """Random changes that need the whole batch, applied after those of each sample."""
    shuffle_buffer: PositiveInt | None = None
    """Shuffle in blocks of this many neighbours, for a cache on a slow disk; null: all together."""
    cache: Literal["auto", "memory", "disk"] = "auto"
    """Where decoded samples are kept; auto: in memory up to 256 MiB, otherwise on disk."""
    cache_dir: Text = "cache"
    """Folder of the cache on disk; a relative one lies in the project's folder."""
    on_bad_sample: Literal["raise", "skip"] = "raise"
    """raise: a damaged or missing file or an unknown label is an error when it is needed; skip:
    all samples are read before training starts, and such ones are left out."""
    bad_sample_limit: PositiveInt = 10
    """How many samples of a split `skip` may leave out; one more is an error."""
    workers: Annotated[int, Field(ge=0, le=256)] = 2
    """Threads that decode files; 0: none, and no batches are made ahead of the training."""


class EarlyStopping(Section):
    """When to stop because nothing gets better."""

    patience: PositiveInt
    """Evaluations without an improvement after which training stops."""
    min_delta: NaturalFloat = 0.0
    """How much better, in the metric's own unit, counts as an improvement."""


class ParameterGroup(Section):
    """Weights that learn at a rate of their own, or with a weight decay of their own."""

    match: Annotated[Text, AfterValidator(_pattern)]
    """Regular expression that is searched in the names that weights have in `model.safetensors`."""
    rate: PositiveFloat = 1.0
    """Factor of the optimizer's learning rate."""
    weight_decay: NaturalFloat | None = None
    """Instead of the optimizer's own, which null leaves as it is."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Factor from each layer to the one before it, so that the last keeps `rate`; the first
    parentheses in `match` find a layer's number: `^encoder_(\\d+)/`."""


class Train(Section):
    """How the model learns, and how it is judged meanwhile."""

    epochs: PositiveInt = 8
    """Passes over the training split."""
    max_steps: PositiveInt | None = None
    """Stop after this many optimizer steps if the epochs take longer."""
    overfit_batches: PositiveInt | None = None
    """Train and evaluate on the same few samples: those of this many batches."""
    batch_size: PositiveInt = 32
    """Samples behind each optimizer step, over all accumulation steps and devices together."""
    accumulate: PositiveInt = 1
    """Forward and backward passes that share one optimizer step; divides `batch_size`."""
    optimizer: Named = Component(target="adamw")
    """`adam`, `adamw`, `sgd`, or `module:object` (PyTorch: called with the parameters)."""
    parameter_groups: list[ParameterGroup] = []
    """Weights that learn otherwise than the rest; a weight is in the first group that matches."""
    schedule: Named = Component(target="constant")
    """`constant`, `cosine`, `linear`, ..., or `module:object` (PyTorch: with the optimizer)."""
    loss: Named = Component(target="cross_entropy")
    """A name in `ops/losses.py`, or `module:object`."""
    clip_norm: PositiveFloat | None = None
    """Scale the gradient down to this global L2 norm when it is longer."""
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Evaluate and export an exponential moving average of the weights with this decay a step."""
    init_from: str | None = None
    """Start from the best weights of this run folder, or from this `.safetensors` file."""
    metrics: list[Named] = []
    """What is measured in evaluations, beside the loss (see `evaluation/metrics.py`)."""
    evaluators: list[Named] = []
    """Further measures that see every prediction (see `evaluation/evaluator.py`)."""
    monitor: str = "loss"
    """The value that decides which checkpoint is best."""
    monitor_mode: Literal["max", "min"] = "min"
    """Whether a greater or a smaller value of `monitor` is better."""
    evaluate_every: PositiveInt = 1
    """Epochs between two evaluations on the validation split; the end is always evaluated."""
    val_subsplits: PositiveInt = 1
    """Evaluate on one of this many parts of the validation split while training (the end: all)."""
    early_stopping: EarlyStopping | None = None
    """Stop when `monitor` no longer improves; null: never."""
    on_divergence: Literal["stop", "skip", "rewind"] = "stop"
    """After NaN or infinity: end, skip the update, or go back and leave out the batch."""
    divergence_limit: PositiveInt = 10
    """How many batches `skip` and `rewind` may leave out of a run; one more ends it."""
    checkpoint_every: PositiveInt = 200
    """Steps between two checkpoints; evaluations and the end write one too."""
    checkpoint_minutes: PositiveFloat | None = None
    """Minutes after which one is written even if the steps are not done; null: only the steps."""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest checkpoints are kept beside the best one."""


class Resources(Section):
    """What `launch` starts on each machine."""

    nodes: PositiveInt = 1
    """Machines."""
    processes_per_node: PositiveInt = 1
    """Processes on each machine; with GPUs usually one for each GPU."""
    gpus_per_process: NaturalInt = 0
    """GPUs of each process."""
    cpus_per_process: PositiveInt | None = None
    """CPU cores of each process; null: an equal share of those that this machine gives."""
    grace_seconds: PositiveInt = 120
    """Seconds from the signal to stop to the end by force, in which the run is saved."""
    max_restarts: NaturalInt = 3
    """How often all processes are started again after one of them died."""
    environment: dict[VariableName, str] = {}
    """Further environment variables of each process."""


class Executor(Section):
    """Where the work runs, and with which numbers."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto: a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Numbers in the forward and backward pass; auto: bf16 where the hardware computes in it."""
    strategy: Literal["auto", "single", "ddp", "fsdp", "mirrored", "multi_worker"] = "auto"
    """How the work is spread; auto: over all processes that were launched together; without several
    of them over all GPUs that TensorFlow sees, or on one device.

    single: one process on one device; ddp (PyTorch) and multi_worker (TensorFlow): each process has
    the whole model and takes a share of every batch; fsdp (PyTorch): each has a part of the model,
    too (FSDP2); mirrored (TensorFlow): one process does the same on each of its GPUs."""
    sync_batch_norm: bool = False
    """Batch normalisation sees the whole batch, or the share of one process or GPU (false)."""
    timeout_minutes: PositiveFloat = 10.0
    """How long processes wait for each other before they count as lost."""
    channels_last: bool = True
    """Inputs of four axes lie in memory with the channels last; with TensorFlow they always do."""
    tf32: bool = True
    """On GPUs that can: round fp32 numbers to 10 bits before they are multiplied, for speed."""
    compile: bool = False
    """Compile the model (torch.compile, XLA); pays on some GPUs, for some models, in long runs."""
    eager: bool = False
    """Run TensorFlow's step without a graph, for a debugger; PyTorch always does."""
    profile: bool = False
    """Write a trace of a few steps into the run's folder `profile/`, for ui.perfetto.dev."""
    threads: PositiveInt | None = None
    """Threads of one operation on the CPU; null: the framework's own choice."""
    resources: Resources = Resources()
    """Machines and processes (see `main.py launch`)."""


class CFG(Section):
    """The whole configuration."""

    run: Run = Run()
    task: Named = Component(target="evaluation.task:Task")
    """What is learned: what models are given, how their outputs are judged, shown and written."""
    data: Data
    model: Named
    """The network: `target` and the arguments of its class."""
    train: Train = Train()
    executor: Executor = Executor()
