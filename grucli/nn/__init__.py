"""The mathematics: NumPy only, no files, no printing, no settings objects.

Letters used everywhere below: T steps, B batch, V vocabulary, H hidden units, L layers, D width
of a layer's input. Arrays are time-major; the prefix ``d`` marks the gradient of the loss with
respect to the array of that name.
"""
