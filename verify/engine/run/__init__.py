"""Engines started and asked: in turns, or all beside each other, and under a load."""
