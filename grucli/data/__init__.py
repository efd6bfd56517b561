"""Texts: files, vocabularies, ids, and the windows that training reads."""
