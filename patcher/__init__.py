"""Plans and commits the patches of nsa-opt into an sglang tree, and undoes them."""

__version__ = "0.1.0"
