"""The face: what people type and read, what scripts rely on."""
