"""Video: from a Cut to the frames a model sees. The only decoder of the project.

``cut`` describes, ``sample`` chooses, ``decode`` reads, ``cache`` keeps, ``views``
transform and ``patches`` hand over to the vision tower.
"""
