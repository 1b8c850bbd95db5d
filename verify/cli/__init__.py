"""The commands of the verifier."""
