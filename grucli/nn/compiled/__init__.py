"""The loops of the network, compiled by Numba; those in ``nn/`` itself are their reference."""
