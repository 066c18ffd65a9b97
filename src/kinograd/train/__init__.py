"""Training: the two loops, the learner, and what a run leaves behind."""
