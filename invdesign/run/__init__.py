"""What surrounds a job: its folder, its manifest, its progress display, and the comparison of two runs."""
