"""securecp puts files into the hands of one named person and no one else."""

VERSION = "0.1.0"
