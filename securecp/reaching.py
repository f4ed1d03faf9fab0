"""Sessions by rendezvous."""
