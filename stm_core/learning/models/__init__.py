"""Models, one kind to a file: every file of this folder is found by itself and registers what it holds."""
