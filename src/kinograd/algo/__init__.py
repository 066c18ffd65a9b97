"""Algorithms: scored groups in, advantages per token and a loss out.

Each method is one file: its settings, its rule, the formula with its source, and the other
views of a clip that it asks for. ``base.Algorithm`` states what training asks of a method,
``registry`` lists all methods, ``parts`` holds what they share.

Shape suffixes of arrays and of lists of arrays:

    P  groups of a batch (one prompt each)
    G  rollouts of a group
    L  tokens of a response
    N  responses of a minibatch
    M  tokens of a micro-batch, responses one after another
"""
