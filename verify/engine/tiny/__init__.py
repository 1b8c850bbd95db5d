"""`--engine tiny`: a DeepSeek-V3.2 that needs no download, and what an engine of it takes."""
