"""Demo of the method: a rendered world, a model from scratch, every stage of training."""
