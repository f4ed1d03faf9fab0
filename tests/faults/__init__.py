"""Errors of the operating system, and what people do to files meanwhile, with real processes."""
