"""From settings and a text to a trained run."""
