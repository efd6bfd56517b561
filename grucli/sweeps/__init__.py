"""Sweeps: many runs whose settings Optuna chooses, trained by any number of workers."""
