"""A page: one HTML file that holds a model and runs it in a browser."""
