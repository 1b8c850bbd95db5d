"""The real server, before and after: the same tokens, and the time that a step takes."""
