"""Keras layers that Keras has not: fused normalisation, chains, convolutions that start evenly.

As in PyTorch, a layer made here has its weights at once. A `keras.name_scope` around the call gives
the beginning of their names: a layer "conv" in the scope "encoder_0" has "encoder_0/conv/kernel".
"""

from collections.abc import Sequence

from utils.framework import keras, tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation by TensorFlow's fused kernel.

    Keras' own layer takes many small steps, all of them in float32: a convolutional network is a
    fifth slower with it on a CPU, and two fifths slower where the rest computes in bfloat16. The
    running variance here is the unbiased one, as in PyTorch.

    Args:
        channels: Channels of the input and output [B, H, W, channels].
        momentum: Share of the running statistics that a step keeps, in [0, 1).
        epsilon: Added to the variance, greater than 0.
        name: The layer's name.
    """

    def __init__(
        self, channels: int, momentum: float = 0.9, epsilon: float = 1e-5, name: str = "norm"
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, name=name)
        self.build((None, None, None, channels))

    def call(
        self, inputs: tf.Tensor, training: bool | None = False, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Normalise by the batch's statistics in training; else, or if frozen, by the running ones.

        `mask` has no effect; Keras hands it to every layer of this kind.
        """
        learns = bool(training and self.trainable)
        if learns and self.synchronized:
            return self._over_all_replicas(inputs)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=self.moving_mean,
            variance=self.moving_variance,
            epsilon=self.epsilon,
            exponential_avg_factor=1.0 - self.momentum,
            is_training=learns,
        )
        if learns:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return outputs

    def _over_all_replicas(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise by the statistics of all replicas' shares of a batch, equally large.

        Keras takes the mean of squares less the square of the mean, which loses digits.
        """
        replicas = tf.distribute.get_replica_context()

        def averaged(values: tf.Tensor) -> tf.Tensor:
            means = tf.reduce_mean(values, axis=(0, 1, 2))
            return replicas.all_reduce(tf.distribute.ReduceOp.MEAN, means)

        values = tf.cast(inputs, tf.float32)
        mean = averaged(values)
        variance = averaged(tf.square(values - mean))
        count = tf.size(values[..., 0], tf.float32) * replicas.num_replicas_in_sync
        for running, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance * count / (count - 1.0)),
        ):
            running.assign(running * self.momentum + new * (1.0 - self.momentum))
        outputs = tf.nn.batch_normalization(
            values, mean, variance, self.beta, self.gamma, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype)


class Chain(keras.layers.Layer):
    """Layers one after another; unlike in a `keras.Sequential` two may have the same name."""

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        super().__init__()
        self.links = list(layers)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return what the last layer returns; each is given what the one before returns."""
        for layer in self.links:
            inputs = layer(inputs)
        return inputs


def plain_convolution(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True
) -> keras.layers.Conv2D:
    """Return a convolution; the size stays, the kernel's is odd."""
    layer = keras.layers.Conv2D(
        out_channels,
        kernel_size,
        padding="same",
        use_bias=bias,
        kernel_initializer=evenly_spread(in_channels * kernel_size**2),
        bias_initializer=evenly_spread(in_channels * kernel_size**2),
        name="conv",
    )
    layer.build((None, None, None, in_channels))
    return layer


def evenly_spread(fan_in: int) -> keras.initializers.Initializer:
    """Return how PyTorch's convolutions start: evenly spread, the narrower the more is added up."""
    limit = fan_in**-0.5
    return keras.initializers.RandomUniform(-limit, limit)
