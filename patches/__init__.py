"""The optimisations: one folder a patch, each a recipe and a payload."""
