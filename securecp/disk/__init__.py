"""Files: what is read to be sent, and what is written when received."""
