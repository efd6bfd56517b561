"""Loops of the network, compiled by Numba; ``nn/cells`` and ``nn/functional`` are their reference."""
