"""The commands: each a `main(argv) -> int`."""
