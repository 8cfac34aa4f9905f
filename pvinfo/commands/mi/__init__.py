"""Commands to the streamer itself."""
