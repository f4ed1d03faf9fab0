"""What a power cut leaves of a transfer, and that the next session makes the right thing of it."""
