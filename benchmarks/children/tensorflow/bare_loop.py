"""The loop that one writes by hand around a `tf.function`: nothing but steps, one a call."""

import tensorflow as tf
from arrays import MEAN, STD
from batches import Batches
from turns import begin_step
from workload import Workload


def main() -> None:
    """Train until nobody asks for a further step."""
    work = Workload.given()
    work.set_threads()
    model = work.build_model()
    optimizer = work.build_optimizer()

    @tf.function
    def step(images: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model((tf.cast(images, tf.float32) - MEAN) / STD, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(masks, tf.int32), logits)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    total = 0.0
    for images, masks in Batches(work):
        begin_step()
        loss = step(images, masks)
        if work.item:
            total += float(loss)


if __name__ == "__main__":
    main()
