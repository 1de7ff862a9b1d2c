"""Engine.IO packets, payloads and handshakes in their wire format; no I/O."""
