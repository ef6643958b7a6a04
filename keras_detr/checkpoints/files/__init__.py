"""Files on disk: read what is safe to read, and write what is there whole or not at all."""
