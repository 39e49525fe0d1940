"""The native protocol's side of a gateway: sessions and frames (`docs/protocol.md`)."""
