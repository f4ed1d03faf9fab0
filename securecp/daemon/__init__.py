"""What a program does for its person beside moving files: history, log, hook, quota, control."""
