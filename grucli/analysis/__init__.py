"""Analyses of models and runs: routes of a gradient, activations, comparisons, verdicts."""
