"""What a sweep keeps of a state: every file of this folder is found by itself and registers what it holds."""
