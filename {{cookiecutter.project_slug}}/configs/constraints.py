"""Settings that are sound alone and impossible together."""

from collections.abc import Iterator

from configs.schema import CFG
from configs.yaml_text import Path


def pair_problems(cfg: CFG) -> Iterator[tuple[Path, str]]:
    """Yield (path, message) for each impossible pair of settings."""
    train, executor = cfg.train, cfg.executor
    if train.batch_size % train.accumulate:
        text = f"{train.accumulate} does not divide train.batch_size={train.batch_size}"
        yield ("train", "accumulate"), text
    if executor.precision == "fp16" and executor.device == "cpu":
        text = "fp16 needs a GPU, but executor.device is cpu; use bf16, fp32 or auto"
        yield ("executor", "precision"), text
    if executor.device in ("cuda", "mps") and executor.threads is not None:
        text = f"only the CPU uses it, but executor.device is {executor.device}; leave it out"
        yield ("executor", "threads"), text
    if executor.device in ("cpu", "mps") and not executor.tf32:
        text = f"only CUDA has it, but executor.device is {executor.device}; leave it out"
        yield ("executor", "tf32"), text
    if executor.eager and executor.compile:
        yield ("executor", "eager"), "a compiled step has a graph; set executor.compile to false"
    if cfg.data.cache == "memory" and cfg.data.shuffle_buffer is not None:
        text = "only a cache on disk gains from a buffer; set data.cache to disk or auto"
        yield ("data", "shuffle_buffer"), text
    if cfg.data.sampler.target != "uniform" and cfg.data.shuffle_buffer is not None:
        text = f"only the uniform sampler has one, but data.sampler is {cfg.data.sampler.target}"
        yield ("data", "shuffle_buffer"), f"{text}; leave it out"
    if train.monitor == "loss" and train.monitor_mode == "max":
        yield ("train", "monitor_mode"), "the lowest loss is the best; set it to min"
