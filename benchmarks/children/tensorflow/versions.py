"""Prints what the numbers depend on, as JSON."""

import json
import os

import keras
import tensorflow as tf

# 0 stands for one thread for each core.
threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
print(json.dumps({"tensorflow": tf.__version__, "keras": keras.__version__, "threads": threads}))
