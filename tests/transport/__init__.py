"""The transport core: each file proves one part."""
