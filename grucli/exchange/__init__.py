"""Other programs' formats: what a run is exported to, and what a run is imported from."""
