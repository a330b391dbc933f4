"""What ``train`` and ``predict`` do: rows of text in, a folder with a model out.

``table`` reads a file, ``datasets`` makes rows instead, ``encoding`` turns either into numbers,
``learner`` is the network with its program and optimizer, ``folder`` what lies on the disk,
``session`` the epochs, and ``report`` the page that is left at the end.
"""
