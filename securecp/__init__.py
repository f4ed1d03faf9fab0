"""securecp puts files into the hands of one named person and no one else."""
