"""What runs beside the transfers: history, log, hook, quota, control."""
