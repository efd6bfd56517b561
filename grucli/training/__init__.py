"""Training: sessions, plans, the training loop and its worker processes."""
