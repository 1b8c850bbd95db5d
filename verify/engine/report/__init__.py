"""The report of an engine bench: what it says, how it is put together, how it looks."""
