"""The Python API behind `import crossforge_train`; the command line is a thin layer over it."""
