"""One file for each revision of the protocol, all with the same functions."""
