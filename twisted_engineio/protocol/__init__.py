"""Engine.IO packets, payloads and handshakes, as they stand on the wire; no I/O."""
