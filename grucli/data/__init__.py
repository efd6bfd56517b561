"""Texts: where they come from, how they become ids, how training reads them."""
