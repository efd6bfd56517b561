"""What a run leaves on the disk: its directory, its checkpoints, its records."""
