"""Pictures: files of images, and what a model sees of them."""
