"""Proves that two routes through an sglang tree leave identical metadata."""
