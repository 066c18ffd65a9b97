"""The demo: a world of rendered clips, a model from scratch, and every stage of training."""
