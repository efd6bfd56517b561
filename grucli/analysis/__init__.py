"""Looking into models and runs: the routes of a gradient, activations, comparisons, verdicts."""
