"""Pure functions on arrays: images, augmentation and losses."""
