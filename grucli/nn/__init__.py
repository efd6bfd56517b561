"""The mathematics: NumPy only, no files, no printing, no settings objects.

Letters: T steps, B streams of a batch, V size of the vocabulary, H hidden units, L layers, D width
of a layer's input. Arrays are time-major. The prefix ``d`` marks a gradient: ``dh`` is the gradient
of the loss with respect to ``h``.
"""
