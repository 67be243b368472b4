"""The Python API: what `import crossforge_train` offers, and what the command line is a skin over."""
